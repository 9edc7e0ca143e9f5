"""The papers' learning rate schedules, as functions of the optimizer step."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import keras
import tensorflow as tf

from flags.schedules import (
    Constant,
    Cosine,
    InverseSquareRoot,
    WarmUp,
    WarmUpInverseSquareRoot,
)

# A boundary such as 5 * 748.8 is a whole number of steps, but not exactly so in float64.
_ROUNDING = 1e-12


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that may depend on training progress, which it stores in `variables`.

    Called with the number of updates so far, it returns the rate of the next one, float32 [].
    """

    @property
    def variables(self) -> list[tf.Variable]:
        """The state that a checkpoint must contain to resume with the same rates."""
        return []

    def after_step(self, step: tf.Tensor, numbers: Mapping[str, tf.Tensor]) -> None:
        """Called in every replica after an update, with its number (from 0) and the batch means of the metrics."""
        return  # AutoGraph rejects a function that consists of a docstring

    def after_evaluation(self, value: float) -> None:
        """Called outside `strategy.run` after an evaluation during training, with the monitored metric."""

    def marked_steps(self, total_steps: int) -> list[tuple[int, str, float]]:
        """The notable steps of a run as (step, label, rate), as far as they are known in advance."""
        raise NotImplementedError


class RecipeSchedule(Schedule):
    """A schedule built from its recipe, an instance of `kind`, and serialised as that recipe."""

    kind: type

    def __init__(self, recipe):
        self.recipe = recipe

    def get_config(self):
        return {"recipe": dataclasses.asdict(self.recipe)}

    @classmethod
    def from_config(cls, config):
        # Saved configs contain lists instead of tuples.
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in config["recipe"].items()}
        return cls(**{**config, "recipe": cls.kind(**values)})


@keras.saving.register_keras_serializable(package="trainers")
class WarmedExponential(Schedule):
    """lr * decay_rate ** (step / decay_steps), after a linear warm-up from 0 to lr over `warmup_steps`.

    With `staircase` the exponent is rounded down. It counts from step 0, so the rate drops at the end of the warm-up
    (EfficientNet, section 5 of the recipe: 0.256 -> 0.256 * 0.97^2). Computed in float64.
    """

    def __init__(self, *, lr: float, decay_rate: float, decay_steps: float, warmup_steps: int, staircase: bool = True):
        self.lr = lr
        self.decay_rate = decay_rate
        self.decay_steps = decay_steps
        self.warmup_steps = warmup_steps
        self.staircase = staircase

    def __call__(self, step):
        """The rate of the update that follows `step` updates; float32 []."""
        step = tf.cast(step, tf.float64)
        exponent = step / self.decay_steps
        if self.staircase:
            exponent = tf.floor(exponent * (1 + _ROUNDING))
        decayed = self.lr * self.decay_rate**exponent
        warming = self.lr * step / max(1, self.warmup_steps)
        return tf.cast(tf.where(step < self.warmup_steps, warming, decayed), tf.float32)

    def marked_steps(self, total_steps):
        """Start, end of warm-up, every decay of the staircase, last step."""
        marks = {0: "start"}
        if 0 < self.warmup_steps < total_steps:
            marks[self.warmup_steps] = "end of warm-up"
        if self.staircase:
            for decays in range(1, math.ceil(total_steps / self.decay_steps) + 1):
                step = math.ceil(decays * self.decay_steps / (1 + _ROUNDING))
                if self.warmup_steps < step < total_steps:
                    marks[step] = f"decay {decays}"
        marks[total_steps - 1] = "last step"
        return [(step, label, float(self(step))) for step, label in marks.items()]

    def get_config(self):
        return {
            "lr": self.lr,
            "decay_rate": self.decay_rate,
            "decay_steps": self.decay_steps,
            "warmup_steps": self.warmup_steps,
            "staircase": self.staircase,
        }


@keras.saving.register_keras_serializable(package="trainers")
class WarmUpRate(RecipeSchedule):
    """Implements `flags.schedules.WarmUp`: s counts updates from 1, so the first has lr / warmup_steps.

    The rate of update s is lr * (min(s, warmup_steps) / warmup_steps - clip((s - cooldown) / cooldown, 0, 1)), at least
    0, in float64. After `second_pass_step` updates s restarts from 1 and the rate is multiplied by
    `second_pass_factor`.
    """

    kind = WarmUp

    def __init__(self, recipe: WarmUp, second_pass_step: int | None = None):
        super().__init__(recipe)
        self.second_pass_step = second_pass_step

    def __call__(self, step):
        """The rate of the update that follows `step` updates; float32 []."""
        recipe, step = self.recipe, tf.cast(step, tf.float64)
        lr = tf.constant(recipe.lr, tf.float64)
        if self.second_pass_step is not None:
            is_second = step >= self.second_pass_step
            lr = tf.where(is_second, recipe.second_pass_factor * lr, lr)
            step = tf.where(is_second, step - self.second_pass_step, step)
        update = step + 1
        factor = tf.minimum(update / recipe.warmup_steps, 1)
        if recipe.cooldown_steps is not None:
            cooled = (update - recipe.cooldown_steps) / recipe.cooldown_steps
            factor = tf.maximum(factor - tf.clip_by_value(cooled, 0, 1), 0)
        return tf.cast(lr * factor, tf.float32)

    def marked_steps(self, total_steps):
        """Start, first update at the full rate and first update of the cooldown of each pass; the last step."""
        second = total_steps if self.second_pass_step is None else min(self.second_pass_step, total_steps)
        marks = self._marks_of_pass(0, second, "start") | self._marks_of_pass(second, total_steps, "second pass")
        marks[total_steps - 1] = "last step"
        return [(step, label, float(self(step))) for step, label in sorted(marks.items())]

    def _marks_of_pass(self, first: int, end: int, label: str) -> dict[int, str]:
        """The labels of steps from `first` up to `end`."""
        marks = {first + self.recipe.warmup_steps - 1: "end of warm-up", first: label}
        if self.recipe.cooldown_steps is not None:
            marks[first + self.recipe.cooldown_steps] = "cooldown"
        return {step: name for step, name in marks.items() if step < end}

    def get_config(self):
        return super().get_config() | {"second_pass_step": self.second_pass_step}


@keras.saving.register_keras_serializable(package="trainers")
class InverseSquareRootRate(RecipeSchedule):
    """Implements `flags.schedules.InverseSquareRoot`, in float64."""

    kind = InverseSquareRoot

    def __call__(self, step):
        """The rate of the update that follows `step` updates; float32 []."""
        periods = tf.cast(tf.cast(step, tf.int64) // self.recipe.period, tf.float64)
        return tf.cast(self.recipe.lr / tf.sqrt(1 + periods), tf.float32)

    def marked_steps(self, total_steps):
        """Start, the first drop, last step."""
        marks = {0: "start", self.recipe.period: "first drop", total_steps - 1: "last step"}
        return [(step, label, float(self(step))) for step, label in sorted(marks.items()) if step < total_steps]


@keras.saving.register_keras_serializable(package="trainers")
class WarmUpInverseSquareRootRate(RecipeSchedule):
    """Implements `flags.schedules.WarmUpInverseSquareRoot`, in float64."""

    kind = WarmUpInverseSquareRoot

    def __call__(self, step):
        """The rate of the update that follows `step` updates; float32 []."""
        update, warmup = tf.cast(step, tf.float64) + 1, self.recipe.warmup_steps
        return tf.cast(self.recipe.lr * tf.minimum(update / warmup, tf.sqrt(warmup / update)), tf.float32)

    def marked_steps(self, total_steps):
        """Start, end of warm-up, last step."""
        marks = {total_steps - 1: "last step", self.recipe.warmup_steps - 1: "end of warm-up", 0: "start"}
        return [(step, label, float(self(step))) for step, label in sorted(marks.items()) if step < total_steps]


@keras.saving.register_keras_serializable(package="trainers")
class ConstantRate(RecipeSchedule):
    """Implements `flags.schedules.Constant`."""

    kind = Constant

    def __call__(self, step):
        return tf.constant(self.recipe.lr, tf.float32)

    def marked_steps(self, total_steps):
        return [(0, "throughout", self.recipe.lr)]


@keras.saving.register_keras_serializable(package="trainers")
class CosineRate(RecipeSchedule):
    """Implements `flags.schedules.Cosine`, in float64.

    Args:
        total_steps: steps of the run; the last has final_factor * lr.
    """

    kind = Cosine

    def __init__(self, recipe: Cosine, total_steps: int):
        super().__init__(recipe)
        self.total_steps = total_steps

    def __call__(self, step):
        """The rate of the update that follows `step` updates; float32 []."""
        recipe, update = self.recipe, tf.cast(step, tf.float64) + 1
        length = max(1, self.total_steps - recipe.warmup_steps)
        done = tf.clip_by_value((update - recipe.warmup_steps) / length, 0, 1)
        cosine = recipe.final_factor + (1 - recipe.final_factor) * (1 + tf.cos(math.pi * done)) / 2
        return tf.cast(recipe.lr * tf.minimum(update / recipe.warmup_steps, 1) * cosine, tf.float32)

    def marked_steps(self, total_steps):
        """Start, end of warm-up, middle, last step."""
        middle = (self.recipe.warmup_steps + total_steps) // 2
        marks = {
            middle: "halfway",
            self.recipe.warmup_steps - 1: "end of warm-up",
            total_steps - 1: "last step",
            0: "start",
        }
        return [(step, label, float(self(step))) for step, label in sorted(marks.items()) if step < total_steps]

    def get_config(self):
        return super().get_config() | {"total_steps": self.total_steps}

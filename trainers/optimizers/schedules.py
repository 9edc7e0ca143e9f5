"""Learning rate schedules of the papers, counted in optimizer steps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import keras
import tensorflow as tf

from flags.optimization import (
    DynamicDrop,
    Exponential,
    InverseSquareRoot,
    Stepwise,
    WarmUp,
    WarmUpInverseSquareRoot,
)

# A boundary such as 5 * 748.8 is a whole number of steps, but not to the last bit of a float64.
_ROUNDING = 1e-12
_WARMUP_WINDOW = 100  # updates whose mean training error decides whether the warm-up goes on


def build_schedule(
    recipe: Exponential | Stepwise | WarmUp | InverseSquareRoot | DynamicDrop | WarmUpInverseSquareRoot,
    *,
    global_batch: int,
    steps_per_epoch: float,
    second_pass_step: int | None = None,
) -> Schedule:
    """The schedule of a recipe, for one global batch. Make it in the strategy's scope: it may have variables.

    Args:
        steps_per_epoch: examples / global_batch. It may be fractional, as in EfficientNet's official code: there
            350 epochs of 1,281,167 images at batch 4096 are 109,474 steps, and boundaries fall between steps.
        second_pass_step: the updates before the second pass of a `WarmUp`; None: there is none.
    """
    if isinstance(recipe, WarmUp):
        return WarmUpRate(recipe, second_pass_step)
    for rate in (StepwiseRate, InverseSquareRootRate, WarmUpInverseSquareRootRate, DynamicDropRate):
        if isinstance(recipe, rate.kind):
            return rate(recipe)
    return WarmedExponential(
        lr=recipe.lr_per_256 * global_batch / 256,
        decay_rate=recipe.decay_rate,
        decay_steps=recipe.decay_epochs * steps_per_epoch,
        warmup_steps=int(round(recipe.warmup_epochs * steps_per_epoch, 6)),  # 0.29 * 100 is 28.999... in float64
        staircase=recipe.staircase,
    )


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that may follow how training goes: it is told, and remembers in `variables`.

    Called with the number of updates so far, it gives the rate of the next one, float32 [].
    """

    @property
    def variables(self) -> list[tf.Variable]:
        """What a checkpoint must hold to go on with the same rates."""
        return []

    def after_step(self, step: tf.Tensor, numbers: Mapping[str, tf.Tensor]) -> None:
        """Tells of an update, in every replica: its number from 0, and its batch's mean of each metric of the task."""
        return  # AutoGraph takes no function that is a docstring alone

    def after_evaluation(self, value: float) -> None:
        """Tells of an evaluation on the way, by the metric that the task selects by; outside `strategy.run`."""

    def marked_steps(self, total_steps: int) -> list[tuple[int, str, float]]:
        """The steps of a run at which the rate is worth a look, with labels and rates, as far as they can be told."""
        raise NotImplementedError


class RecipeSchedule(Schedule):
    """A schedule that is made from its recipe, an instance of `kind`, and saved as that."""

    kind: type

    def __init__(self, recipe):
        self.recipe = recipe

    def get_config(self):
        return {"recipe": dataclasses.asdict(self.recipe)}

    @classmethod
    def from_config(cls, config):
        # A file has lists in place of tuples.
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in config["recipe"].items()}
        return cls(**{**config, "recipe": cls.kind(**values)})


@keras.saving.register_keras_serializable(package="trainers")
class WarmedExponential(Schedule):
    """lr * decay_rate ** (step / decay_steps); before `warmup_steps` a straight line from 0 to lr instead.

    With `staircase` the exponent is rounded down. It counts from step 0, so that the rate jumps down where the
    warm-up ends (EfficientNet, section 5 of the recipe: 0.256 -> 0.256 * 0.97^2). Computed in float64.
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
class StepwiseRate(RecipeSchedule):
    """`flags.optimization.Stepwise` at work: a constant rate, dropped at boundaries or on plateaus, after a warm-up.

    Drops at boundaries count updates alone: the update that follows `boundaries[0]` others is the first at the lower
    rate. The warm-up ends, and plateaus are seen, by what `after_step` and `after_evaluation` tell.
    """

    kind = Stepwise

    def __init__(self, recipe: Stepwise):
        super().__init__(recipe)
        self._on_plateau = recipe.drops == "plateau"
        self._is_warming = _variable(float(recipe.warmup_lr is not None), "is_warming")
        self._error_sum = _variable(0.0, "error_sum")
        self._drops = _variable(0.0, "drops")
        self._best = _variable(0.0, "best")
        self._waited = _variable(0.0, "waited")

    @property
    def variables(self) -> list[tf.Variable]:
        warming = [self._is_warming, self._error_sum] if self.recipe.warmup_lr is not None else []
        return warming + ([self._drops, self._best, self._waited] if self._on_plateau else [])

    def __call__(self, step):
        drops = self._drops
        if not self._on_plateau:
            passed = [tf.cast(tf.cast(step, tf.int64) >= boundary, tf.float32) for boundary in self.recipe.boundaries]
            drops = tf.add_n([tf.zeros(()), *passed])
        rate = self.recipe.lr * tf.constant(self.recipe.factor, tf.float64) ** tf.cast(drops, tf.float64)
        rate = tf.cast(rate, tf.float32)
        if self.recipe.warmup_lr is None:
            return rate
        return tf.where(self._is_warming > 0, self.recipe.warmup_lr, rate)

    def after_step(self, step, numbers):
        if self.recipe.warmup_lr is None:
            return
        total = self._error_sum + (1 - numbers["top1"])
        is_full = tf.equal((step + 1) % _WARMUP_WINDOW, 0)
        ends = is_full & (total / _WARMUP_WINDOW < self.recipe.warmup_error)
        self._is_warming.assign(tf.where(ends, 0.0, self._is_warming))
        self._error_sum.assign(tf.where(is_full, 0.0, total))

    def after_evaluation(self, value):
        if not self._on_plateau:
            return
        drops, best, waited = (v.numpy() for v in (self._drops, self._best, self._waited))
        if value >= best + self.recipe.min_improvement:
            best, waited = value, 0
        else:
            waited += 1
        if waited >= self.recipe.patience and drops < len(self.recipe.boundaries):
            drops, waited = drops + 1, 0
        for variable, new in zip((self._drops, self._best, self._waited), (drops, best, waited)):
            variable.assign(new)

    def marked_steps(self, total_steps):
        recipe = self.recipe
        start = (0, "start", recipe.lr)
        if recipe.warmup_lr is not None:
            label = f"start; then {recipe.lr:g}, once the training error is below {recipe.warmup_error:.0%}"
            start = (0, label, recipe.warmup_lr)
        if self._on_plateau:
            plateaus = f"; {recipe.factor:g} times that on each of {len(recipe.boundaries)} plateaus"
            return [(0, start[1] + plateaus, start[2])]
        drops = [
            (step, f"drop {number}", recipe.lr * recipe.factor**number)
            for number, step in enumerate(recipe.boundaries, start=1)
            if step < total_steps
        ]
        return [start, *drops, (total_steps - 1, "last step", recipe.lr * recipe.factor ** len(drops))]


@keras.saving.register_keras_serializable(package="trainers")
class WarmUpRate(RecipeSchedule):
    """`flags.optimization.WarmUp` at work: s counts updates from 1, so that the very first has lr / warmup_steps.

    The rate of update s is lr * (min(s, warmup_steps) / warmup_steps - clip((s - cooldown) / cooldown, 0, 1)), never
    below 0, in float64. After `second_pass_step` updates s counts anew and `second_pass_factor` multiplies the rate.
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
        """Of each pass its start, the first update at the full rate and the first of the cooldown; the last step."""
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
    """`flags.optimization.InverseSquareRoot` at work; computed in float64."""

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
    """`flags.optimization.WarmUpInverseSquareRoot` at work; computed in float64."""

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
class DynamicDropRate(RecipeSchedule):
    """`flags.optimization.DynamicDrop` at work, by the losses that `after_step` tells."""

    kind = DynamicDrop

    def __init__(self, recipe: DynamicDrop):
        super().__init__(recipe)
        self._loss_sum = _variable(0.0, "loss_sum")
        self._best = _variable(math.inf, "best")
        self._waited = _variable(0.0, "waited")  # updates since the best, or since the last drop
        self._drops = _variable(0.0, "drops")

    @property
    def variables(self) -> list[tf.Variable]:
        return [self._loss_sum, self._best, self._waited, self._drops]

    def __call__(self, step):
        factor = tf.constant(self.recipe.factor, tf.float64) ** tf.cast(self._drops, tf.float64)
        return tf.cast(self.recipe.lr * factor, tf.float32)

    def after_step(self, step, numbers):
        window = self.recipe.window
        total = self._loss_sum + numbers["loss"]
        mean = total / window
        is_full = tf.equal((step + 1) % window, 0)
        improves = is_full & (mean < self._best)
        waited = tf.where(improves, 0.0, tf.where(is_full, self._waited + window, self._waited))
        drops = is_full & (waited >= self.recipe.patience)
        self._loss_sum.assign(tf.where(is_full, 0.0, total))
        self._best.assign(tf.where(improves, mean, self._best))
        self._waited.assign(tf.where(drops, 0.0, waited))
        self._drops.assign_add(tf.cast(drops, tf.float32))

    def marked_steps(self, total_steps):
        recipe = self.recipe
        label = f"start; {recipe.factor:g} times that whenever {recipe.patience:,} updates have not lowered the loss"
        return [(0, label, recipe.lr)]


def _variable(value: float, name: str) -> tf.Variable:
    return tf.Variable(value, trainable=False, dtype=tf.float32, name=name)

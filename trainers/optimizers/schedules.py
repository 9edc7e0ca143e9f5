"""Learning rate schedules of the papers, counted in optimizer steps."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from flags.recipe import Exponential

# A boundary such as 5 * 748.8 is a whole number of steps, but not to the last bit of a float64.
_ROUNDING = 1e-12


def build_schedule(schedule: Exponential, *, global_batch: int, steps_per_epoch: float) -> WarmedExponential:
    """The schedule of a recipe, for one global batch.

    Args:
        schedule: the recipe's; its rate is scaled by global_batch / 256.
        steps_per_epoch: examples / global_batch. It may be fractional, as in EfficientNet's official code: there
            350 epochs of 1,281,167 images at batch 4096 are 109,474 steps, and boundaries fall between steps.
    """
    return WarmedExponential(
        lr=schedule.lr_per_256 * global_batch / 256,
        decay_rate=schedule.decay_rate,
        decay_steps=schedule.decay_epochs * steps_per_epoch,
        warmup_steps=int(round(schedule.warmup_epochs * steps_per_epoch, 6)),  # 0.29 * 100 is 28.999... in float64
        staircase=schedule.staircase,
    )


@keras.saving.register_keras_serializable(package="trainers")
class WarmedExponential(keras.optimizers.schedules.LearningRateSchedule):
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

    def marked_steps(self, total_steps: int) -> list[tuple[int, str]]:
        """The steps of a run at which the rate is worth a look, with labels: start, end of warm-up, decays, last."""
        marks = {0: "start"}
        if 0 < self.warmup_steps < total_steps:
            marks[self.warmup_steps] = "end of warm-up"
        if self.staircase:
            for decays in range(1, math.ceil(total_steps / self.decay_steps) + 1):
                step = math.ceil(decays * self.decay_steps / (1 + _ROUNDING))
                if self.warmup_steps < step < total_steps:
                    marks[step] = f"decay {decays}"
        marks[total_steps - 1] = "last step"
        return list(marks.items())

    def get_config(self):
        return {
            "lr": self.lr,
            "decay_rate": self.decay_rate,
            "decay_steps": self.decay_steps,
            "warmup_steps": self.warmup_steps,
            "staircase": self.staircase,
        }

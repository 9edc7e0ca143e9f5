"""Learning rates that drop by a factor, at given steps or depending on training progress."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from flags.schedules import DynamicDrop, Stepwise
from trainers.optimizers.schedules import RecipeSchedule

_WARMUP_WINDOW = 100  # updates whose mean training error decides whether the warm-up ends


@keras.saving.register_keras_serializable(package="trainers")
class StepwiseRate(RecipeSchedule):
    """Implements `flags.schedules.Stepwise`: a constant rate with drops at boundaries or plateaus, after a warm-up.

    Drops at boundaries depend on the number of updates alone: the update after the first `boundaries[0]` is the first
    at the lower rate. `after_step` ends the warm-up, `after_evaluation` detects plateaus.
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
class DynamicDropRate(RecipeSchedule):
    """Implements `flags.schedules.DynamicDrop`, based on the losses passed to `after_step`."""

    kind = DynamicDrop

    def __init__(self, recipe: DynamicDrop):
        super().__init__(recipe)
        self._loss_sum = _variable(0.0, "loss_sum")
        self._best = _variable(math.inf, "best")
        self._waited = _variable(0.0, "waited")  # updates since the best loss or the last drop
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

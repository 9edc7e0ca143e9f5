"""Dynamic loss scaling: keeps the gradients of float16 activations from underflowing.

Keras's `LossScaleOptimizer` wraps `apply_gradients`; this project's loop updates variables itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


class LossScale:
    """A factor on the loss that doubles after `growth_steps` consecutive finite steps and halves at every overflow.

    Create it in the strategy's scope. Its methods work inside and outside a replica, if every replica calls them with
    the same values.
    """

    def __init__(self, initial: float = 2.0**15, growth_steps: int = 2000):
        self.growth_steps = growth_steps
        self._scale = _variable(initial, tf.float32, "scale")
        self._good_steps = _variable(0, tf.int64, "good_steps")

    @property
    def variables(self) -> list[tf.Variable]:
        return [self._scale, self._good_steps]

    def scale(self, loss: tf.Tensor) -> tf.Tensor:
        """`loss` times the factor, in float32 because the product may overflow float16."""
        return tf.cast(loss, tf.float32) * self._scale

    def unscale(self, gradients: Sequence[tf.Tensor | None]) -> list[tf.Tensor | None]:
        """Gradients of a scaled loss, divided by the factor, in float32."""
        return [None if g is None else tf.cast(g, tf.float32) / self._scale for g in gradients]

    def update(self, finite: tf.Tensor) -> None:
        """Adapts the factor. `finite`: bool [], whether all gradients of the step were finite and therefore applied."""
        doubles = finite & (self._good_steps + 1 >= self.growth_steps)
        scale = tf.where(finite, tf.where(doubles, self._scale * 2, self._scale), tf.maximum(self._scale / 2, 1.0))
        good_steps = tf.where(finite & ~doubles, self._good_steps + 1, 0)
        self._scale.assign(scale)
        self._good_steps.assign(good_steps)


def _variable(value: float, dtype: tf.DType, name: str) -> tf.Variable:
    return tf.Variable(value, trainable=False, dtype=dtype, name=name)

"""The moving average of a network's weights, with which EfficientNet is evaluated and exported.

Keras's `use_ema` excludes batch norm's moving statistics and does not warm up the decay; the recipe needs both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf


class WeightAverage:
    """Exponential moving averages of Keras variables, starting as copies of them.

    Create it in the strategy's scope. Every replica keeps and updates its own copy without communication; the copies
    are equal as long as the averaged variables are equal on every replica.

    Args:
        variables: a model's trainable weights and moving statistics; variables that are not floating-point are skipped.
        decay: the largest decay; at step t it is min(decay, (1 + t) / (10 + t)).

    Attributes:
        averaged: the model's variables that are averaged.
        variables: their averages, in the same order.
    """

    def __init__(self, variables: Sequence[keras.Variable], decay: float):
        self.averaged = [v for v in variables if tf.as_dtype(v.dtype).is_floating]
        self.variables = [_average_of(v) for v in self.averaged]
        self.decay = decay
        self._strategy = tf.distribute.get_strategy()

    def update(self, step) -> None:
        """Moves the averages towards the variables. Call it in a replica, after the optimizer's update.

        Args:
            step: optimizer updates so far. TensorFlow 1 counts the one just made: 1 at the first call.
        """
        step = tf.cast(step, tf.float32)
        # 1 - min(decay, (1 + step) / (10 + step)), without the cancellation of 1 - 0.9999 in float32.
        rate = tf.maximum(1 - self.decay, 9 / (10 + step))
        for average, variable in zip(self.variables, self.averaged, strict=True):
            average.assign_sub(tf.cast(rate, average.dtype) * (average - variable.value))

    def restart(self) -> None:
        """Resets the averages to copies of the variables, after other weights were loaded into the model."""
        for average, variable in zip(self.variables, self.averaged, strict=True):
            average.assign(variable.value)

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        """Context in which the model has the averaged weights; restores its weights exactly on exit, on every replica.

        Use it outside `strategy.run` and `tf.function`. The model's weights are copied meanwhile, which takes memory of
        the model's size; do not write a training checkpoint inside, it would lack them.
        """
        replicas = [self._strategy.experimental_local_results(v.value) for v in self.averaged]
        before = [[replica.read_value() for replica in variable] for variable in replicas]
        try:
            for variable, average in zip(replicas, self.variables, strict=True):
                mean = tf.convert_to_tensor(average)
                for replica in variable:
                    replica.assign(mean)
            yield
        finally:
            for variable, values in zip(replicas, before, strict=True):
                for replica, value in zip(variable, values, strict=True):
                    replica.assign(value)


def _average_of(variable: keras.Variable) -> tf.Variable:
    return tf.Variable(variable.value, trainable=False, name=f"{variable.path}/average")

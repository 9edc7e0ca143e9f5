"""Layer normalisation in two parts, so that layers which normalise the same tensor share the first.

SHA-RNN normalises the inputs of attention and of Boom twice, with different gains but the same mean and variance. Keras
computes these and their gradient op by op; here the gradient is custom.
"""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from tf_models.layers.counting import Shapes, exact_bytes


@keras.saving.register_keras_serializable(package="tf_models")
class Standardise(keras.layers.Layer):
    """(x - mean) / sqrt(variance + epsilon) over the last axis, with the biased variance, in float32 or higher."""

    gradient_reads = "outputs"

    def __init__(self, epsilon: float = 1e-12, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def call(self, inputs):
        return standardise(inputs, self.epsilon)

    def bytes_inside(self, inputs: Shapes, outputs: Shapes, element_bytes: int) -> int:
        """Counts the float32 outputs if the compute precision is another."""
        exact = exact_bytes(element_bytes)
        return exact * math.prod(outputs[0]) if exact > element_bytes else 0

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


def standardise(x: tf.Tensor, epsilon: float) -> tf.Tensor:
    """`Standardise` as a function of a tensor [..., features]."""
    precise = tf.cast(x, tf.float32) if x.dtype in (tf.float16, tf.bfloat16) else x
    return tf.cast(_standardise(precise, tf.constant(epsilon, precise.dtype)), x.dtype)


@tf.custom_gradient
def _standardise(x, epsilon):
    centred = x - tf.reduce_mean(x, -1, keepdims=True)
    scale = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), -1, keepdims=True) + epsilon)
    outputs = centred * scale

    def gradient(upstream):
        mean = tf.reduce_mean(upstream, -1, keepdims=True)
        along = tf.reduce_mean(upstream * outputs, -1, keepdims=True)
        return (upstream - mean - outputs * along) * scale, None

    return outputs, gradient


@keras.saving.register_keras_serializable(package="tf_models")
class ScaleAndShift(keras.layers.Layer):
    """x * gamma + beta, the second part of layer normalisation; gamma and beta [features] start at 1 and 0."""

    def build(self, input_shape):
        self.gamma = self.add_weight(name="gamma", shape=(input_shape[-1],), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(input_shape[-1],), initializer="zeros")

    def call(self, inputs):
        return inputs * tf.cast(self.gamma, inputs.dtype) + tf.cast(self.beta, inputs.dtype)

    def multiply_adds(self, inputs: Shapes, outputs: Shapes) -> int:
        """Returns 0: normalisation is not counted."""
        return 0

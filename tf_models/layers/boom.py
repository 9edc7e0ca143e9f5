"""SHA-RNN's Boom: a wide layer whose output is reduced by summing chunks instead of by a second matrix."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="tf_models")
def quick_gelu(x: tf.Tensor) -> tf.Tensor:
    """x * sigmoid(1.702 x) (Hendrycks & Gimpel 2016, section 2), of any shape."""
    return _quick_gelu(x)


@tf.custom_gradient
def _quick_gelu(x):
    gate = tf.sigmoid(1.702 * x)

    def gradient(upstream):
        return upstream * gate + x * tf.raw_ops.SigmoidGrad(y=gate, dy=1.702 * upstream)

    return x * gate, gradient


@keras.saving.register_keras_serializable(package="tf_models")
class FoldChunks(keras.layers.Layer):
    """Sums the chunks of `width` features of [..., features]; an incomplete last chunk is dropped."""

    gradient_reads = "nothing"

    def __init__(self, width: int, **kwargs):
        super().__init__(**kwargs)
        self.width = width

    def call(self, inputs):
        count = inputs.shape[-1] // self.width
        chunks = tf.split(inputs[..., : count * self.width], count, axis=-1)
        return tf.add_n(chunks)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.width)

    def get_config(self):
        return {**super().get_config(), "width": self.width}

"""The parameter-free shortcut of residual networks where dimensions grow."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="tf_models")
class ZeroPaddedIdentity(keras.layers.Layer):
    """Option A of the ResNet paper (section 3.3): every `strides`-th pixel, with zero channels appended.

    Maps [batch, height, width, channels] to [batch, ceil(height / strides), ceil(width / strides), filters].
    """

    gradient_reads = "nothing"

    def __init__(self, filters: int, strides: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides

    def build(self, input_shape):
        if input_shape[-1] > self.filters:
            raise ValueError(f"filters={self.filters}: must be at least the {input_shape[-1]} channels of the input")

    def call(self, inputs):
        # The mean over one pixel; the gradient of a slice with strides takes four times as long on the CPU.
        sampled = tf.nn.avg_pool2d(inputs, ksize=1, strides=self.strides, padding="VALID")
        return tf.pad(sampled, [[0, 0], [0, 0], [0, 0], [0, self.filters - inputs.shape[-1]]])

    def compute_output_shape(self, input_shape):
        batch, *sizes, _ = input_shape
        return (batch, *(None if size is None else -(-size // self.strides) for size in sizes), self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "strides": self.strides}

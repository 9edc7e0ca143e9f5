"""Activations with a custom gradient.

The automatic gradient of SiLU takes five passes over memory, on the largest feature maps of an EfficientNet.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_models.layers.devices import cpu_only


@keras.saving.register_keras_serializable(package="tf_models")
def silu(x: tf.Tensor) -> tf.Tensor:
    """SiLU, x * sigmoid(x), of any shape; keeps only x for the backward pass."""
    return _silu(x)


@tf.custom_gradient
def _silu(x):
    # On the CPU, XLA makes one pass of the gradient. On other devices it compiles whole steps or nothing.
    return x * tf.sigmoid(x), lambda upstream: (_compiled_gradient if cpu_only() else _gradient)(x, upstream)


def _gradient(x, upstream):
    gate = tf.sigmoid(x)
    return upstream * (gate * (1 + x * (1 - gate)))


_compiled_gradient = tf.function(_gradient, jit_compile=True)

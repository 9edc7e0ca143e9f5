"""Batch normalisation through TensorFlow's fused kernels.

Keras 3 computes mean, variance and normalisation with separate operations, which takes more than half of an
EfficientNet's training step. The fused kernel (oneDNN on the CPU, cuDNN on a GPU) needs two passes over the data per
direction.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_models.layers.devices import cpu_only

_FUSED_DTYPES = ("float32", "float16", "bfloat16")
_CUDNN_EPSILON = 1.001e-5  # cuDNN takes nothing smaller; 1e-5, which many networks have, is rounded up to it


@keras.saving.register_keras_serializable(package="tf_models")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, fused: the same arguments, weights, config and numbers.

    The fused kernel is used for images [batch, height, width, channels] normalised over the last axis; Keras handles
    everything else (other ranks and axes, masks, `renorm`, `synchronized`, float64). Under a `tf.distribute` strategy
    each replica updates its own statistics; the training loop has to average them.
    """

    def call(self, inputs, training=None, mask=None):
        if mask is not None or not self._fits_the_fused_kernel(inputs):
            return super().call(inputs, training=training, mask=mask)
        if training and self.trainable:
            outputs, mean, variance = self._fused(inputs, mean=[], variance=[], is_training=True)
            self._update(self.moving_mean, mean)
            self._update(self.moving_variance, _biased(variance, inputs))
            return outputs
        mean, variance = _float32(self.moving_mean), _float32(self.moving_variance)
        return self._fused(inputs, mean=mean, variance=variance, is_training=False)[0]

    def _fits_the_fused_kernel(self, inputs) -> bool:
        return (
            inputs.shape.rank == 4
            and self.axis in (-1, 3)
            and keras.backend.standardize_dtype(inputs.dtype) in _FUSED_DTYPES
            and (self.epsilon >= 1e-5 or cpu_only())
            and not self.synchronized
            and not getattr(self, "renorm", False)  # Keras has it from 3.13 on
        )

    def _fused(self, inputs, mean, variance, is_training: bool):
        channels = inputs.shape[-1]
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=_float32(self.gamma) if self.scale else tf.ones([channels]),
            offset=_float32(self.beta) if self.center else tf.zeros([channels]),
            mean=mean,
            variance=variance,
            epsilon=self.epsilon if cpu_only() else max(self.epsilon, _CUDNN_EPSILON),
            is_training=is_training,
        )
        return outputs, mean, variance

    def _update(self, moving, new) -> None:
        moving.assign(_float32(moving) * self.momentum + new * (1 - self.momentum))


def _float32(variable) -> tf.Tensor:
    return tf.cast(tf.convert_to_tensor(variable), tf.float32)


def _biased(variance: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
    """Undoes the kernel's Bessel correction n / (n - 1); Keras stores the biased variance, which is 0 for n = 1."""
    count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
    return tf.math.multiply_no_nan(variance, (count - 1) / count)

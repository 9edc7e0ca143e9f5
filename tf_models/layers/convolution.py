"""Faster implementations of two Keras convolutions, with the same weights, names, arguments and results."""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_models.layers.devices import cpu_only


@keras.saving.register_keras_serializable(package="tf_models")
class PointwiseConv2D(keras.layers.Conv2D):
    """A `keras.layers.Conv2D` with kernel size 1 and stride 1, computed as a matrix product over the channels.

    On the CPU this takes four fifths of the time, and half of it on maps of a few pixels. On a GPU TensorFlow computes
    a matrix product anyway.
    """

    def __init__(self, filters, **kwargs):
        super().__init__(filters, **{"kernel_size": 1, "padding": "same", **kwargs})
        fixed = {"kernel_size": (1, 1), "strides": (1, 1), "groups": 1, "data_format": "channels_last"}
        for argument, value in fixed.items():
            if getattr(self, argument) != value:
                raise ValueError(f"{argument}={getattr(self, argument)!r}: must be {value!r} in a PointwiseConv2D")

    def call(self, inputs):
        kernel = tf.convert_to_tensor(self.kernel)[0, 0]
        outputs = tf.matmul(tf.reshape(inputs, [-1, kernel.shape[0]]), kernel)
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias))
        sizes = [tf.shape(inputs)[axis] if inputs.shape[axis] is None else inputs.shape[axis] for axis in (1, 2)]
        return self.activation(tf.reshape(outputs, [-1, *sizes, self.filters]))


@keras.saving.register_keras_serializable(package="tf_models")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` with a faster kernel gradient on the CPU.

    If the kernel has more than three columns or is larger than the image, oneDNN, TensorFlow's default, takes two to
    ten times as long for this gradient as TensorFlow's own code, which handles explicit padding. This needs known image
    sizes; with unknown sizes, and on other devices, the layer behaves as in Keras.
    """

    def call(self, inputs):
        if not self._avoids_onednn(inputs):
            return super().call(inputs)
        outputs = _depthwise(inputs, tf.convert_to_tensor(self.kernel), self.strides[0])
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias))
        return self.activation(outputs)

    def _avoids_onednn(self, inputs) -> bool:
        height, width = inputs.shape[1:3]
        rows, columns = self.kernel_size
        return (
            None not in (height, width)
            and (columns > 3 or height < rows or width < columns)
            and (self.padding, self.data_format, self.dilation_rate) == ("same", "channels_last", (1, 1))
            and self.strides[0] == self.strides[1]
            and cpu_only()
        )


def _depthwise(inputs: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """Depthwise convolution with SAME padding of images [batch, height, width, channels] of known size."""
    strides = (1, stride, stride, 1)
    rows, columns = (_same_padding(inputs.shape[1 + axis], kernel.shape[axis], stride) for axis in (0, 1))

    @tf.custom_gradient
    def convolve(inputs, kernel):
        def gradient(upstream):
            of_inputs = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                input_sizes=tf.shape(inputs), filter=kernel, out_backprop=upstream, strides=strides, padding="SAME"
            )
            of_kernel = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                input=inputs,
                filter_sizes=kernel.shape,
                out_backprop=upstream,
                strides=strides,
                padding="EXPLICIT",
                explicit_paddings=[0, 0, *rows, *columns, 0, 0],
            )
            return of_inputs, of_kernel

        return tf.nn.depthwise_conv2d(inputs, kernel, strides, "SAME"), gradient

    return convolve(inputs, kernel)


def _same_padding(size: int, taps: int, stride: int) -> tuple[int, int]:
    """Returns the SAME padding before and after `size` pixels."""
    total = max((-(-size // stride) - 1) * stride + taps - size, 0)
    return total // 2, total - total // 2

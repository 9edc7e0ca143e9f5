"""The faster convolutions are Keras': the same outputs and gradients, weights and files."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_models.layers import convolution
from tf_models.layers.convolution import DepthwiseConv2D, PointwiseConv2D

# Float32 sums of up to 700 products of numbers around 1, in another order.
CLOSE = dict(rtol=1e-4, atol=1e-4)


def images(*shape):
    return tf.random.stateless_normal(shape, seed=[1, 2])


def outputs_and_gradients(layer, inputs):
    upstream = None
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
        upstream = tf.random.stateless_normal(outputs.shape, seed=[3, 4])
    return [outputs, *tape.gradient(outputs, [inputs, *(w.value for w in layer.trainable_weights)], upstream)]


def assert_same(ours, theirs, inputs):
    for layer in (ours, theirs):
        layer.build(inputs.shape)
    theirs.set_weights(ours.get_weights())
    for a, b in zip(outputs_and_gradients(ours, inputs), outputs_and_gradients(theirs, inputs), strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 9])
def test_depthwise_convolution_is_keras_s_on_maps_of_every_parity(size, kernel, stride):
    arguments = dict(strides=stride, padding="same", use_bias=False)
    for other in {size, 6}:
        ours = DepthwiseConv2D(kernel, **arguments)
        assert_same(ours, keras.layers.DepthwiseConv2D(kernel, **arguments), images(2, size, other, 4))


@pytest.mark.parametrize(
    "arguments",
    [
        dict(kernel_size=(5, 3), padding="same"),
        dict(kernel_size=(3, 5), padding="same"),
        dict(kernel_size=5, padding="same", activation="relu"),
        dict(kernel_size=5, padding="valid"),
        dict(kernel_size=5, padding="same", dilation_rate=2),
        dict(kernel_size=5, padding="same", depth_multiplier=2),
    ],
)
def test_depthwise_convolution_takes_the_arguments_of_keras(arguments):
    assert_same(DepthwiseConv2D(**arguments), keras.layers.DepthwiseConv2D(**arguments), images(2, 9, 9, 4))


def test_depthwise_convolution_on_other_devices_is_keras_s_own(monkeypatch):
    monkeypatch.setattr(convolution, "cpu_only", lambda: False)
    arguments = dict(kernel_size=5, padding="same")
    assert_same(DepthwiseConv2D(**arguments), keras.layers.DepthwiseConv2D(**arguments), images(2, 2, 2, 4))


def test_depthwise_convolution_takes_images_of_unknown_size():
    layer = DepthwiseConv2D(5, padding="same", use_bias=False)
    known = layer(images(2, 2, 2, 4))
    graph = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, 4])])
    np.testing.assert_allclose(graph(images(2, 2, 2, 4)), known, **CLOSE)


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("arguments", [dict(use_bias=False), dict(activation="sigmoid")])
def test_pointwise_convolution_is_keras_s(size, arguments):
    ours = PointwiseConv2D(6, bias_initializer="ones", **arguments)
    assert_same(ours, keras.layers.Conv2D(6, 1, bias_initializer="ones", **arguments), images(2, size, size, 4))


def test_pointwise_convolution_takes_images_of_unknown_size():
    layer = PointwiseConv2D(6)
    known = layer(images(2, 3, 5, 4))
    graph = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, 4])])
    np.testing.assert_allclose(graph(images(2, 3, 5, 4)), known, **CLOSE)


def test_pointwise_convolution_knows_the_shape_of_its_output():
    outputs = PointwiseConv2D(6)(keras.Input((None, 5, 4)))
    assert outputs.shape == (None, None, 5, 6)


@pytest.mark.parametrize(
    ("argument", "value", "received"),
    [("kernel_size", 3, "(3, 3)"), ("strides", 2, "(2, 2)"), ("groups", 2, "2")],
)
def test_a_convolution_that_is_not_pointwise_is_refused(argument, value, received):
    with pytest.raises(ValueError) as raised:
        PointwiseConv2D(6, **{argument: value})
    assert str(raised.value).startswith(f"{argument}={received}: must be ")


@pytest.mark.parametrize("layer", [PointwiseConv2D(6, name="conv"), DepthwiseConv2D(5, padding="same", name="conv")])
def test_config_and_weights_are_named_as_in_keras(layer):
    plain = keras.layers.Conv2D if isinstance(layer, PointwiseConv2D) else keras.layers.DepthwiseConv2D
    same = plain.from_config(layer.get_config())
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config() == same.get_config()
    layer.build((None, 5, 5, 4))
    same.build((None, 5, 5, 4))
    assert [(w.path, w.shape) for w in layer.weights] == [(w.path, w.shape) for w in same.weights]

"""SiLU with a gradient of its own: the numbers of the definition, wherever Keras takes an activation."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_models.layers import activations
from tf_models.layers.activations import silu

POINTS = np.concatenate([np.linspace(-30, 30, 601), [-1e4, -100, 100, 1e4]]).astype("float32")


def defined(x):
    """SiLU and its derivative in float64."""
    x = x.astype("float64")
    gate = 0.5 * (1 + np.tanh(x / 2))
    return x * gate, gate * (1 + x * (1 - gate))


def value_and_gradient(x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = silu(x)
    return y, tape.gradient(y, x)


def test_value_and_gradient_are_those_of_the_definition():
    for computed, exact in zip(value_and_gradient(tf.constant(POINTS)), defined(POINTS), strict=True):
        np.testing.assert_allclose(computed, exact, rtol=1e-5, atol=1e-6)  # sigmoid in float32, and one product


def test_the_gradient_of_other_devices_is_the_same(monkeypatch):
    monkeypatch.setattr(activations, "cpu_only", lambda: False)
    np.testing.assert_allclose(value_and_gradient(tf.constant(POINTS))[1], defined(POINTS)[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("dtype", "bits"), [(tf.float16, 11), (tf.bfloat16, 8)])
def test_half_precision_is_exact_to_its_last_bits(dtype, bits):
    points = tf.cast(np.linspace(-8, 8, 101), dtype)
    exact = defined(tf.cast(points, tf.float32).numpy())
    for computed, expected in zip(value_and_gradient(points), exact, strict=True):
        assert computed.dtype == dtype
        # Five roundings of numbers up to 8, each by half a unit of the last bit.
        np.testing.assert_allclose(tf.cast(computed, tf.float32), expected, atol=20 * 2.0**-bits)


def test_the_gradient_multiplies_what_comes_from_above():
    x = tf.constant([-1.0, 0.5, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = silu(x)
    upstream = tf.constant([3.0, -2.0, 0.5])
    np.testing.assert_allclose(tape.gradient(y, x, upstream), upstream * defined(x.numpy())[1], rtol=1e-5)


def test_a_graph_of_unknown_shape_and_xla_compute_the_same():
    graph = tf.function(value_and_gradient, input_signature=[tf.TensorSpec(None)])
    compiled = tf.function(value_and_gradient, jit_compile=True)
    for function in (graph, compiled):
        for computed, exact in zip(function(tf.constant(POINTS)), defined(POINTS), strict=True):
            np.testing.assert_allclose(computed, exact, rtol=1e-5, atol=1e-6)


def test_replicas_compute_the_gradient_on_their_own_device(two_devices):
    @tf.function
    def run():
        return two_devices.experimental_local_results(
            two_devices.run(lambda: value_and_gradient(tf.constant([0.5]))[1])
        )

    for gradient in run():
        np.testing.assert_allclose(gradient, defined(np.array([0.5]))[1], rtol=1e-5)


def test_layers_that_use_it_are_saved_and_exported(tmp_path):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, activation=silu), keras.layers.Activation(silu, name="act")]
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("act").activation is silu
    loaded.export(tmp_path / "saved_model", verbose=False)
    inputs = tf.random.stateless_normal((2, 4), seed=[1, 2])
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
    served = tf.saved_model.load(tmp_path / "saved_model")
    np.testing.assert_allclose(served.serve(inputs), model(inputs), rtol=1e-6)

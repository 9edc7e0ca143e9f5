"""The network of one hidden layer: its numbers worked out with NumPy, its counts, initial weights and files."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_models
from tf_models import inspection


def build(k: int = 5, **options) -> keras.Model:
    return tf_models.build_model("mlp", k=k, **options)


def images(shape=(28, 28, 1), batch: int = 3) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(batch, *shape)).astype("float32")


def weights(model: keras.Model) -> list[np.ndarray]:
    """Kernel and biases of the hidden layer, then of the last."""
    return [w.numpy().astype("float64") for name in ("hidden", "predictions") for w in model.get_layer(name).weights]


@pytest.mark.parametrize(("k", "parameters"), [(2, 1_600), (4, 3_190), (12, 9_550), (100, 79_510), (1000, 795_010)])
def test_ten_classes_of_digits_take_795_k_and_10_parameters(k, parameters):
    counted = inspection.parameters(build(k))
    assert (counted.trainable, counted.non_trainable) == (parameters, 0)
    assert parameters == 795 * k + 10


def test_other_images_and_classes_are_counted_too():
    counted = inspection.parameters(build(7, input_shape=(14, 10, 3), num_classes=4))
    assert counted.total == (14 * 10 * 3 + 1) * 7 + (7 + 1) * 4


def test_multiply_adds_are_the_weights_without_biases():
    assert inspection.multiply_adds(build(7)) == 784 * 7 + 7 * 10


def test_logits_are_those_of_two_matrix_products():
    model, batch = build(), images()
    hidden, hidden_biases, last, last_biases = weights(model)
    expected = np.maximum(batch.reshape(3, 784) @ hidden + hidden_biases, 0) @ last + last_biases
    np.testing.assert_allclose(model(batch), expected, rtol=1e-5, atol=1e-6)  # float32 sums of 784 products


def test_gradients_are_those_of_the_chain_rule():
    model, batch = build(), images()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(batch) ** 2) / 2
    found = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    hidden, hidden_biases, last, last_biases = weights(model)
    pixels = batch.reshape(3, 784)
    sums = pixels @ hidden + hidden_biases
    units = np.maximum(sums, 0)
    logits = units @ last + last_biases
    of_sums = (logits @ last.T) * (sums > 0)
    expected = [pixels.T @ of_sums, of_sums.sum(0), units.T @ logits, logits.sum(0)]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weight", ["kernel", "bias"])
def test_weights_and_biases_begin_uniform_within_one_over_the_root_of_fan_in(weight):
    keras.utils.set_random_seed(0)
    model = build(400, num_classes=200)
    for name, fan_in in (("hidden", 784), ("predictions", 400)):
        values = np.sort(getattr(model.get_layer(name), weight).numpy().ravel()) * np.sqrt(fan_in)
        assert np.abs(values).max() <= 1, name
        # Kolmogorov's distance to the uniform distribution; a true sample passes 1.95 / sqrt(n) once in a thousand.
        ranks = (np.arange(values.size) + 0.5) / values.size
        assert np.abs((values + 1) / 2 - ranks).max() < 1.95 / np.sqrt(values.size), name


def test_weights_of_another_width_are_refused(tmp_path):
    build(k=2).save(tmp_path / "narrow.keras")
    with pytest.raises(ValueError, match=r"narrow\.keras: wrong shape of hidden/kernel"):
        tf_models.load_weights(build(k=4), tmp_path / "narrow.keras")


def test_images_of_any_size_are_refused():
    with pytest.raises(ValueError, match=r"input_shape=\(None, 28, 1\): must be known"):
        build(input_shape=(None, 28, 1))

"""Option A's shortcut against slices and zeros in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_models.layers.shortcut import ZeroPaddedIdentity


def by_hand(images: np.ndarray, filters: int, strides: int) -> np.ndarray:
    sampled = images[:, ::strides, ::strides]
    zeros = np.zeros((*sampled.shape[:3], filters - images.shape[3]), images.dtype)
    return np.concatenate([sampled, zeros], axis=3)


def images(*shape) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("sizes", [(8, 8), (7, 5), (1, 2)])
@pytest.mark.parametrize(("filters", "strides"), [(6, 2), (3, 2), (12, 1)])
def test_it_takes_every_second_pixel_and_appends_zeros(sizes, filters, strides):
    inputs = images(2, *sizes, 3)
    outputs = ZeroPaddedIdentity(filters, strides)(inputs)
    np.testing.assert_array_equal(outputs, by_hand(inputs, filters, strides))


def test_its_gradient_is_zero_where_nothing_was_taken():
    inputs, upstream = tf.constant(images(2, 5, 6, 3)), images(2, 3, 3, 4)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = ZeroPaddedIdentity(4, 2)(inputs)
    expected = np.zeros(inputs.shape, "float32")
    expected[:, ::2, ::2] = upstream[..., :3]
    np.testing.assert_array_equal(tape.gradient(outputs, inputs, upstream), expected)


@pytest.mark.parametrize("shape", [(7, 6, 3), (None, None, 3)])
def test_the_shape_of_its_output_is_known_beforehand(shape):
    outputs = ZeroPaddedIdentity(6, 2)(keras.Input(shape))
    assert outputs.shape == (None, *((4, 3) if shape[0] else (None, None)), 6)


def test_it_is_saved_with_its_arguments():
    layer = ZeroPaddedIdentity(6, 2, name="shortcut")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    assert (again.filters, again.strides, again.name) == (6, 2, "shortcut")


def test_it_keeps_the_precision_of_a_mixed_network():
    assert ZeroPaddedIdentity(6, 2, dtype="mixed_bfloat16")(images(1, 4, 4, 3)).dtype == tf.bfloat16


def test_it_cannot_take_channels_away():
    with pytest.raises(ValueError, match="filters=2: must be at least the 3 channels of the input"):
        ZeroPaddedIdentity(2, 2)(images(1, 4, 4, 3))

"""Counts of small networks, worked out by hand."""

import keras
import pytest
from keras import layers

from tf_models import inspection


def network(size=8):
    inputs = keras.Input((size, size, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="conv")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.Activation("relu", name="relu")(x)
    x = layers.DepthwiseConv2D(5, padding="same", name="depthwise")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(10, name="dense")(x), name="network")


# Size 8: the convolution makes 4x4 maps.
BY_LAYER = {
    "conv": (27 * 4 + 4, 16 * 27 * 4),
    "bn": (16, 0),
    "relu": (0, 0),
    "depthwise": (25 * 4 + 4, 16 * 25 * 4),
    "pool": (0, 0),
    "dense": (50, 40),
}


def test_parameters_are_counted_apart_from_statistics():
    counted = inspection.parameters(network())
    total = sum(parameters for parameters, _ in BY_LAYER.values())
    assert (counted.trainable, counted.non_trainable, counted.total) == (total - 8, 8, total)


def test_every_layer_has_its_row():
    rows = inspection.layer_table(network())
    assert {row.name: (row.parameters, row.multiply_adds) for row in rows} == BY_LAYER
    assert [(row.name, row.type, row.output_shape) for row in rows[:2]] == [
        ("conv", "Conv2D", (None, 4, 4, 4)),
        ("bn", "BatchNormalization", (None, 4, 4, 4)),
    ]


def test_multiply_adds_are_the_sum_of_the_rows():
    assert inspection.multiply_adds(network()) == sum(count for _, count in BY_LAYER.values())


def test_multiply_adds_are_counted_at_another_size():
    assert inspection.multiply_adds(network(), (16, 16, 3)) == inspection.multiply_adds(network(16))


def test_counting_leaves_the_model_as_it_was():
    model = network(size=None)
    inspection.multiply_adds(model, (8, 8, 3))
    assert model.input_shape == (None, None, None, 3)
    assert model.get_layer("conv").output.shape == (None, None, None, 4)


def test_a_model_for_any_size_needs_to_be_told_one():
    with pytest.raises(ValueError, match="input_shape=None: must be given, for 'conv'"):
        inspection.multiply_adds(network(size=None))


def test_models_inside_a_model_are_counted():
    inputs = keras.Input((8, 8, 3))
    outer = keras.Model(inputs, network()(layers.Rescaling(2.0)(inputs)))
    assert inspection.multiply_adds(outer) == inspection.multiply_adds(network())
    assert inspection.activation_bytes(outer, 2) == inspection.activation_bytes(network(), 2)


def test_grouped_convolutions_and_dense_layers_over_positions_are_counted():
    inputs = keras.Input((6, 6, 4))
    x = layers.Conv2D(8, 3, groups=2, use_bias=False)(inputs)
    model = keras.Model(inputs, layers.Dense(5)(x))
    assert inspection.multiply_adds(model) == 16 * (9 * 2 * 8) + 16 * 8 * 5


def test_a_layer_nobody_can_count_is_an_error_and_not_nothing():
    model = keras.Sequential([keras.Input((5, 3)), layers.LSTM(4, name="memory")])
    with pytest.raises(ValueError, match="layer 'memory': multiply_adds does not know how to count a LSTM"):
        inspection.multiply_adds(model)


def test_activations_kept_for_the_backward_pass_are_the_tensors_that_gradients_read():
    elements = 8 * 8 * 3 + 2 * (4 * 4 * 4) + 4  # images; what bn reads; relu's output; pooled features
    assert inspection.activation_bytes(network(), batch=2) == 2 * 4 * elements
    assert inspection.activation_bytes(network(), batch=2, element_bytes=2) == 2 * 2 * elements


def test_a_tensor_read_by_two_gradients_is_kept_once():
    inputs = keras.Input((10,))
    x = layers.Dense(6)(inputs)
    model = keras.Model(inputs, layers.Multiply()([layers.Dense(6)(x), x]))
    assert inspection.activation_bytes(model, batch=1) == 4 * (10 + 6 + 6)

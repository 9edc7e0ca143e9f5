"""Counts of small networks, worked out by hand."""

import keras
import pytest
from keras import layers

import tf_models
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


def test_a_model_for_any_size_is_counted_at_the_sizes_that_it_is_called_at():
    inner = network(size=None)
    small, large = keras.Input((8, 8, 3)), keras.Input((16, 16, 3))
    outer = keras.Model([small, large], [inner(small), inner(large)])
    assert inspection.multiply_adds(outer) == sum(inspection.multiply_adds(network(size)) for size in (8, 16))
    assert inspection.activation_bytes(outer, 2) == sum(inspection.activation_bytes(network(s), 2) for s in (8, 16))
    assert sum(row.parameters for row in inspection.layer_table(outer)) == inspection.parameters(inner).total


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


def test_a_layer_that_is_called_twice_is_counted_twice():
    inputs, dense = keras.Input((10,)), layers.Dense(10)
    assert inspection.multiply_adds(keras.Model(inputs, dense(dense(inputs)))) == 2 * 10 * 10


def test_layers_shared_with_another_model_are_counted_at_this_models_sizes():
    small = tf_models.build_model("resnet20_cifar", input_shape=(16, 16, 3))
    large = keras.models.clone_model(small, input_tensors=keras.Input((32, 32, 3)), clone_function=lambda layer: layer)
    one, other = (inspection.multiply_adds(model) - 640 for model in (small, large))  # 640: of the head
    assert other == 4 * one


def test_most_networks_count_their_parameters_in_one_way():
    assert inspection.parameter_notes(network()) == {}


V, D, H, S, T = 11, 8, 20, 6, 5  # symbols, width, Boom's width (20 = 2 * 8 + 4), memory, time


def language_model(**options):
    """Two blocks, the second with attention."""
    sizes = {"width": D, "boom_width": H, "num_layers": 2, "attention_layers": (1,), "memory_size": S}
    return tf_models.build_model("sha_rnn", num_classes=V, **(sizes | options))


def test_multiply_adds_of_a_language_model_are_those_of_one_symbol():
    counted = {row.name: row.multiply_adds for row in inspection.layer_table(language_model()) if row.multiply_adds}
    assert counted == {
        "embedding": V * D,  # as the last layer; looking up costs nothing
        "block0_lstm": 8 * D * D,
        "block0_boom": D * H,
        "block1_lstm": 8 * D * D,
        "block1_attention": D * D + 2 * S * D,
        "block1_boom": D * H,
    }


def test_every_part_of_a_split_softmax_is_counted():
    assert inspection.multiply_adds(language_model(softmax_splits=(4, 8))) == (
        inspection.multiply_adds(language_model()) + 2 * D
    )


def test_a_layer_of_several_outputs_is_listed_with_its_first():
    shapes = {row.name: row.output_shape for row in inspection.layer_table(language_model())}
    assert shapes["block0_lstm"] == shapes["block1_attention"] == shapes["embedding"] == (None, None, D)


LSTM = D + (D + 2 * D / T) + 6 * D  # standardised; inputs, and the state before; gates, cells, hidden states
BOOM = D + D + 2 * H  # standardised; what the wide layer reads; its middle and that one's gate
ATTENTION = D + (2 * D + S * D / T + 1 / T) + 3 * D + S + S * D / T  # standardised; inputs; ...; weights; values
SILENT = {"input_dropout": 0.0, "hidden_dropout": 0.0, "dropout": 0.0}


def test_activations_of_a_language_model_are_counted_by_hand():
    of_a_symbol = 1 + 2 * (LSTM + BOOM) + ATTENTION + D + V  # 1: the symbol itself
    counted = inspection.activation_bytes(language_model(**SILENT), batch=3, time=T)
    assert counted == pytest.approx(3 * 4 * T * of_a_symbol)


def test_states_and_scores_and_what_is_standardised_are_kept_in_float32():
    whole, half = (inspection.activation_bytes(language_model(**SILENT), 1, size, T) for size in (4, 2))
    exact = 2 * 6 * D + V  # in either precision
    twice = 5 * D  # standardised in float32, and in half of it for the layers after
    assert half == whole / 2 + T * (2 * exact + 4 * twice)


def test_masks_of_dropout_are_as_large_as_what_they_are_multiplied_with():
    without = inspection.activation_bytes(language_model(hidden_dropout=0.0), batch=3, time=T)
    masks = 2 * (D + H + D) + D + (2 * D + 2 * S)  # LSTM, Boom twice; attention; inside it, with the weights' product
    assert inspection.activation_bytes(language_model(), batch=3, time=T) == without + 3 * 4 * T * masks


def test_of_a_split_softmax_the_scores_of_the_head_are_kept():
    whole, split = (
        inspection.activation_bytes(language_model(softmax_splits=splits), 1, time=T) for splits in ((), (4, 8))
    )
    assert whole - split == 4 * T * (V - 4 - 2)


def test_activations_of_a_language_model_need_a_time():
    with pytest.raises(ValueError, match="time=None: must be given, for 'sha_rnn' reads segments of any length"):
        inspection.activation_bytes(language_model(), batch=1)


SIDES = {"decoder": 2, "none": 3}  # embeddings that there are


def translation_model(**options):
    """Two layers a side, with the numbers above: symbols, width, the feed-forward layers' middle; two heads."""
    sizes = {"d_model": D, "layers": 2, "heads": 2, "feed_forward": H}
    return tf_models.build_model("transformer", num_classes=V, **(sizes | options))


@pytest.mark.parametrize("time", [1, T])
@pytest.mark.parametrize("shared", SIDES)
def test_multiply_adds_of_a_transformer_are_those_of_a_pair_of_texts(time, shared):
    rows = inspection.layer_table(translation_model(shared_embeddings=shared), time=time)
    attention = time * (4 * D**2 + 2 * time * D)  # four kernels; scores and mixing
    scores = "target_embedding" if shared == "decoder" else "output_embedding"
    assert {row.name: row.multiply_adds for row in rows if row.multiply_adds} == {
        scores: time * V * D,
        **{
            f"{side}{layer}_{part}": count
            for layer in (0, 1)
            for side, part, count in (
                ("encoder", "attention", attention),
                ("encoder", "expand", time * D * H),
                ("encoder", "fold", time * H * D),
                ("decoder", "attention", attention),
                ("decoder", "source_attention", attention),
                ("decoder", "expand", time * D * H),
                ("decoder", "fold", time * H * D),
            )
        },
    }


def test_multiply_adds_of_the_whole_transformer_are_168_d_squared_and_its_attention_and_scores():
    d, model = 16, translation_model(d_model=16, layers=6, heads=8, feed_forward=None)
    for time in (1, T):
        each = 168 * d**2 + 18 * 2 * time * d + V * d
        assert inspection.multiply_adds(model, time=time) == time * each
    assert sum(row.parameters for row in inspection.layer_table(model)) == inspection.parameters(model).total


def test_a_text_twice_as_long_takes_twice_the_multiply_adds_of_a_language_model():
    assert inspection.multiply_adds(language_model(), time=2) == 2 * inspection.multiply_adds(language_model())


def test_counts_of_a_saved_transformer_are_the_same(tmp_path):
    model = translation_model()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert inspection.layer_table(loaded) == inspection.layer_table(model)
    assert inspection.activation_bytes(loaded, 1, time=T) == inspection.activation_bytes(model, 1, time=T)


# What the kernel reads; queries, keys, values, mix; weights of two heads; what the norm after it standardised.
OF_ATTENTION = D + 4 * D + 2 * T + D
OF_FEED_FORWARD = D + H + D  # what the first layer reads; what the second does; standardised


@pytest.mark.parametrize("shared", SIDES)
def test_activations_of_a_transformer_are_counted_by_hand(shared):
    of_a_symbol = 2 * (3 * OF_ATTENTION + 2 * OF_FEED_FORWARD)
    of_a_symbol += 2 + D + D + V  # symbols of either side; the encoder's output; the decoder's, and its scores
    counted = inspection.activation_bytes(translation_model(shared_embeddings=shared), batch=3, time=T)
    assert counted == 3 * 4 * T * of_a_symbol


def test_a_transformer_keeps_weights_and_what_is_standardised_in_float32_too():
    whole, half = (inspection.activation_bytes(translation_model(), 1, size, T) for size in (4, 2))
    twice = 2 * (3 * (2 * T + D) + 2 * D)
    assert half == whole / 2 + T * (4 * twice + 2 * V)


def test_activations_of_a_transformer_need_a_time():
    with pytest.raises(ValueError, match="time=None: must be given, for 'transformer' reads segments of any length"):
        inspection.activation_bytes(translation_model(), batch=1)

"""What SHA-RNN promises besides its numbers (`tests/parity/test_sha_rnn.py` has those)."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_models
from tf_models.layers.boom import FoldChunks, quick_gelu
from tf_models.layers.standardise import ScaleAndShift, Standardise
from tf_models.layers.tied_embedding import TiedEmbedding
from tf_models.sha_rnn import collapse
from tf_models.state import empty_state

SIZES = {"num_classes": 11, "width": 8, "boom_width": 16, "memory_size": 12}


def noisy(**options):
    """A model none of whose gates and gains is at its start."""
    model = tf_models.build_model("sha_rnn", **{**SIZES, **options})
    random = np.random.default_rng(0)
    model.set_weights([weight + 0.3 * random.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def tokens(batch, time, seed=0):
    return tf.constant(np.random.default_rng(seed).integers(0, 11, (batch, time)), tf.int32)


def test_a_text_in_segments_gives_the_scores_of_one_call_while_it_fits_into_the_memory():
    model, text = noisy(), tokens(2, 12)
    whole = model({"tokens": text, "state": empty_state(model, 2)})
    state, parts = empty_state(model, 2), []
    for begin, end in ((0, 5), (5, 6), (6, 12)):
        outputs = model({"tokens": text[:, begin:end], "state": state})
        state = outputs["state"]
        parts.append(outputs["logits"])
    np.testing.assert_allclose(tf.concat(parts, 1), whole["logits"], atol=1e-5)
    np.testing.assert_allclose(state["block2_memory"], whole["state"]["block2_memory"], atol=1e-5)


def test_rows_of_the_memory_that_are_not_filled_are_never_seen():
    model, text = noisy(), tokens(2, 4)
    empty = empty_state(model, 2)
    littered = {**empty, "block2_memory": tf.fill(empty["block2_memory"].shape, 1e3)}
    clean, same = (model({"tokens": text, "state": state})["logits"] for state in (empty, littered))
    np.testing.assert_array_equal(same, clean)


def test_lanes_with_memories_of_different_lengths_stand_beside_each_other():
    model = noisy()
    _, after = tokens(1, 7, 1), tokens(2, 3, 2)
    long = model({"tokens": tokens(1, 7, 1), "state": empty_state(model, 1)})["state"]
    mixed = {name: tf.concat([part, empty_state(model, 1)[name]], 0) for name, part in long.items()}
    together = model({"tokens": after, "state": mixed})
    alone = [
        model({"tokens": after[:1], "state": long}),
        model({"tokens": after[1:], "state": empty_state(model, 1)}),
    ]
    np.testing.assert_allclose(together["logits"], tf.concat([part["logits"] for part in alone], 0), atol=1e-5)
    np.testing.assert_array_equal(together["state"]["memory_rows"], [10, 3])


@pytest.mark.parametrize("attention_layers", [(), (0, 1, 2, 3)])
def test_a_saved_model_comes_back_with_its_state(attention_layers, tmp_path):
    model = noisy(attention_layers=attention_layers)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    inputs = {"tokens": tokens(2, 5), "state": empty_state(model, 2)}
    wanted, got = model(inputs), loaded(inputs)
    assert got["state"].keys() == wanted["state"].keys()
    for one, other in zip(tf.nest.flatten(got), tf.nest.flatten(wanted)):
        np.testing.assert_array_equal(one, other)


def test_a_collapsed_model_has_one_vector_in_place_of_each_value_gate():
    model = noisy(attention_layers=(1, 2))
    small, width = collapse(model), SIZES["width"]
    assert model.count_params() - small.count_params() == 2 * (2 * width**2 + 2 * width)
    inputs = {"tokens": tokens(2, 5), "state": empty_state(model, 2)}
    np.testing.assert_allclose(small(inputs)["logits"], model(inputs)["logits"], atol=1e-6)


def test_without_boom_there_is_none():
    names = [layer.name for layer in noisy(boom_width=0).layers]
    assert not [name for name in names if "boom" in name or "residual" in name]


def test_the_plain_lstm_takes_and_gives_the_same():
    model = tf_models.build_model("plain_lstm", num_classes=11, width=8)
    outputs = model({"tokens": tokens(2, 5), "state": empty_state(model, 2)})
    assert outputs["logits"].shape == (2, 5, 11)
    assert set(outputs["state"]) == {f"block{i}_{part}" for i in range(4) for part in "hc"}


@pytest.mark.parametrize(
    "options, said",
    [
        ({"attention_layers": (4,)}, r"attention_layers=\(4,\): must be among 0..3"),
        ({"boom_width": 7}, "boom_width=7: must be 0 or at least width=8"),
        ({"softmax_splits": (5, 3)}, r"splits=\(5, 3\): must rise"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(options, said):
    with pytest.raises(ValueError, match=said):
        tf_models.build_model("sha_rnn", **{**SIZES, **options})


def test_standardise_scale_and_shift_are_kerass_layer_norm_with_its_gradients():
    x = tf.constant(np.random.default_rng(0).normal(size=(3, 4, 7)))
    theirs = keras.layers.LayerNormalization(epsilon=1e-5, dtype="float64")
    first, second = Standardise(epsilon=1e-5, dtype="float64"), ScaleAndShift(dtype="float64")
    for layer in (theirs, second):
        layer.build(x.shape)
        layer.set_weights([np.linspace(0.5, 2, 7), np.linspace(-1, 1, 7)])

    def of(call, layer):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(call(x) ** 3)
        return tape.gradient(total, [x, *layer.trainable_weights])

    for got, wanted in zip(of(lambda x: second(first(x)), second), of(theirs, theirs), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12)


def test_quick_gelu_has_the_gradient_of_its_formula():
    x = tf.constant(np.linspace(-6, 6, 41))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours, plain = quick_gelu(x), x * tf.sigmoid(1.702 * x)
    np.testing.assert_allclose(ours, plain, atol=1e-15)
    np.testing.assert_allclose(tape.gradient(ours, x), tape.gradient(plain, x), atol=1e-14)


def test_chunks_are_added_and_what_is_left_over_is_cut_off():
    np.testing.assert_array_equal(FoldChunks(3)(tf.range(8.0)[tf.newaxis]), [[0 + 3, 1 + 4, 2 + 5]])


def test_the_gradient_of_a_tied_embedding_is_dense_and_has_both_parts():
    layer = TiedEmbedding(5, 3, dtype="float64")
    layer.build()
    symbols = tf.constant([[1, 1, 4]])
    with tf.GradientTape() as tape:
        vectors = layer(symbols)
        total = tf.reduce_sum(vectors) + tf.reduce_sum(layer(tf.stop_gradient(vectors), reverse=True))
    got = tape.gradient(total, layer.embeddings.value)
    looked_up = np.array([0, 2, 0, 0, 1])[:, np.newaxis] * np.ones(3)
    np.testing.assert_allclose(got, looked_up + tf.reduce_sum(vectors, [0, 1]), atol=1e-12)


def test_splits_give_probabilities_that_sum_to_one_and_the_losses_of_them():
    layer = TiedEmbedding(50, 4, splits=(10, 20, 35), initial_std=1.0)
    layer.build()
    layer.set_weights([np.random.default_rng(i).normal(size=w.shape) for i, w in enumerate(layer.weights)])
    vectors, symbols = tf.random.stateless_normal([2, 30, 4], [1, 2]), tf.reshape(tf.range(60) % 50, [2, 30])
    log_probabilities = layer(vectors, reverse=True)
    np.testing.assert_allclose(tf.reduce_sum(tf.exp(log_probabilities), -1), 1, rtol=1e-5)
    wanted = -tf.gather(log_probabilities, symbols, batch_dims=2)
    np.testing.assert_allclose(layer.losses_of(vectors, symbols), wanted, rtol=1e-5)


def test_the_memory_fills_to_its_size_and_no_further():
    model = tf_models.build_model(
        "sha_rnn", num_classes=11, width=2, boom_width=2, num_layers=1, attention_layers=(0,), memory_size=50
    )
    state, rows = empty_state(model, 1), []
    for segment in range(6):
        state = model({"tokens": tokens(1, 11, segment), "state": state})["state"]
        rows.append(int(state["memory_rows"][0]))
    assert rows == [11, 22, 33, 44, 50, 50]


@pytest.mark.slow
def test_the_network_of_the_paper_begins_by_guessing():
    keras.utils.set_random_seed(0)
    model = tf_models.build_model("sha_rnn", num_classes=205)
    text = tf.constant(np.random.default_rng(0).integers(0, 205, (2, 65)), tf.int32)
    outputs = model({"tokens": text[:, :-1], "state": empty_state(model, 2)})
    loss = tf.reduce_mean(model.get_layer("embedding").losses_of(outputs["hidden"], text[:, 1:]))
    assert float(loss) == pytest.approx(np.log(205), abs=0.1)  # the author's code: 5.27 to 5.34
    assert float(tf.sqrt(tf.reduce_mean(outputs["hidden"] ** 2))) == pytest.approx(1.005, abs=0.02)

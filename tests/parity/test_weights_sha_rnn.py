"""The state dict of SHA-RNN's author gives his loss in our model, and one that does not fit is refused."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is loaded

import re

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import tf_models
from flags import catalog, overrides
from tests.parity import golden_sha_rnn as golden
from tf_models.weights import load_weights

ATTENTION = f"blocks.{golden.ATTENTION}.attn"


def _build(**options):
    """The golden network in float64, but for the options given."""
    keras.config.set_dtype_policy("float64")
    try:
        return tf_models.build_model("sha_rnn", **{**golden.OPTIONS, **options})
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module")
def model():
    return _build()


@pytest.fixture
def arrays():
    """The whole state dict: what the network never reads too, and the embedding under both of its names."""
    arrays = golden.weights()
    return {**arrays, "decoder.weight": arrays["encoder.weight"].copy()}


@pytest.fixture
def write(tmp_path):
    def write(arrays):
        safetensors.numpy.save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
        return path

    path = tmp_path / "author.safetensors"
    return write


def _first_loss(model):
    tokens, targets = golden.segment(0)
    state = tf_models.empty_state(model, golden.BATCH)
    logits = model({"tokens": tf.constant(tokens, tf.int32), "state": state})["logits"]
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)).numpy()


def _collapsed(arrays):
    """The state dict after the author's collapse: the value gate's vector is its value, and its matrix is gone."""

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    gate, kernel, bias = (arrays.pop(f"{ATTENTION}.{name}") for name in ("vs", "vq.l1.weight", "vq.l1.bias"))
    z = kernel @ sigmoid(gate.ravel()) + bias
    c, f = z[: golden.WIDTH], z[golden.WIDTH :]
    return {**arrays, f"{ATTENTION}.vs": (sigmoid(f) * np.tanh(c)).reshape(1, 1, -1)}


def _refusal(model, path):
    with pytest.raises(ValueError, match=re.escape(str(path))) as info:
        load_weights(model, path)
    message = str(info.value)
    assert "\n" not in message
    return message


def test_the_author_s_state_dict_gives_his_loss(model, arrays, write):
    loaded = load_weights(model, write(arrays))
    assert _first_loss(model) == pytest.approx(golden.LOSSES[0], rel=1e-9)
    assert (loaded.assigned, loaded.initial) == (len(model.weights), ())


def test_what_the_author_s_network_never_reads_is_said_with_its_size(model, arrays, write):
    loaded = load_weights(model, write(arrays))
    unread = [array for name, array in arrays.items() if golden.is_unused(name)]
    assert (len(unread), sum(array.size for array in unread)) == (22, 192)
    assert str(loaded).endswith("not used: parameters that the author's network never reads, 192 numbers (22)")


def test_a_file_without_what_is_never_read_loads_in_full(model, arrays, write):
    loaded = load_weights(model, write({name: array for name, array in arrays.items() if not golden.is_unused(name)}))
    assert (loaded.assigned, loaded.unused) == (len(model.weights), {})


@pytest.mark.parametrize("missing", ["encoder.weight", "decoder.weight"])
def test_a_file_with_the_tied_matrix_under_one_name_loads(missing, arrays, write):
    model = _build()
    del arrays[missing]
    load_weights(model, write(arrays))
    assert np.array_equal(model.get_layer("embedding").embeddings, golden.weights()["encoder.weight"])


def test_each_of_the_two_biases_of_an_lstm_goes_to_its_own(model, arrays, write):
    load_weights(model, write(arrays))
    lstm = model.get_layer("block1_lstm")
    assert np.array_equal(lstm.bias, arrays["blocks.1.rnn.bias_ih_l0"])
    assert np.array_equal(lstm.recurrent_bias, arrays["blocks.1.rnn.bias_hh_l0"])


def test_a_file_with_collapsed_gates_gives_the_author_s_loss_in_a_collapsed_model(arrays, write):
    model = _build(collapsed=True)
    load_weights(model, write(_collapsed(arrays)))
    assert _first_loss(model) == pytest.approx(golden.LOSSES[0], rel=1e-9)


def test_over_parameterised_gates_are_collapsed_for_a_collapsed_model(arrays, write):
    model = _build(collapsed=True)
    load_weights(model, write(arrays))
    assert _first_loss(model) == pytest.approx(golden.LOSSES[0], rel=1e-9)


@pytest.mark.parametrize("prefix", ["", "criterion."])
def test_the_tombstones_of_a_split_softmax_are_read(prefix, arrays, write):
    model = _build(softmax_splits=(4, 7))
    tombstones, bias = np.arange(16.0).reshape(2, 8), np.arange(2.0)
    load_weights(model, write({**arrays, f"{prefix}tail_vectors": tombstones, f"{prefix}tail_bias": bias}))
    embedding = model.get_layer("embedding")
    assert np.array_equal(embedding.tombstones, tombstones)
    assert np.array_equal(embedding.tombstone_bias, bias)


def test_an_untied_decoder_is_refused(model, arrays, write):
    arrays["decoder.weight"][3, 4] += 1e-6
    assert "decoder.weight differs from encoder.weight" in _refusal(model, write(arrays))


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("blocks.0.rnn.bias_hh_l0", "block0_lstm/recurrent_bias"),
        ("blocks.3.ff.linear1.weight", "block3_boom/kernel"),
        (f"{ATTENTION}.qs", "block2_attention/query_gate"),
        (f"{ATTENTION}.vq.l1.bias", "block2_attention/value_bias"),
        ("decoder.bias", "embedding/bias"),
    ],
)
def test_a_missing_array_is_named(name, ours, model, arrays, write):
    del arrays[name]
    assert f"lacks weights of sha_rnn: {ours};" in _refusal(model, write(arrays))


def test_half_of_an_over_parameterised_gate_is_refused_by_a_collapsed_model(arrays, write):
    del arrays[f"{ATTENTION}.vq.l1.bias"]
    message = _refusal(_build(collapsed=True), write(arrays))
    assert "has weights that sha_rnn lacks: block2_attention/value_kernel;" in message


def test_a_wrong_shape_is_named_with_both(model, arrays, write):
    arrays["blocks.1.lnff.bias"] = np.zeros(9)
    message = _refusal(model, write(arrays))
    assert "wrong shape of block1_residual_norm/beta (the file has (9,), sha_rnn expects (8,))" in message


def test_an_array_of_no_known_meaning_inside_a_block_is_refused(model, arrays, write):
    arrays["blocks.1.ff.linear2.weight"] = np.zeros((8, 16))
    assert "has weights that sha_rnn lacks: blocks.1.ff.linear2/weight;" in _refusal(model, write(arrays))


@pytest.mark.parametrize(
    "options",
    [
        {"attention_layers": (1, 2)},
        {"attention_layers": ()},
        {"num_layers": 3},
        {"num_classes": 12},
        {"width": 16},
        {"boom_width": 0},
        {"boom_width": 32},
    ],
)
def test_a_refusal_says_how_to_build_a_model_that_takes_the_file(options, arrays, write):
    path = write(arrays)
    message = _refusal(_build(**options), path)
    arguments = re.search(r"build the model that the file is of, with (.+) \(--set", message).group(1)
    model = _build(**options | eval(f"dict({arguments})"))
    assert load_weights(model, path).assigned == len(model.weights)


@pytest.mark.parametrize("attention_layers", [(golden.ATTENTION,), ()])
def test_a_refusal_says_it_as_the_command_line_takes_it(attention_layers, arrays, write):
    if not attention_layers:
        arrays = {name: array for name, array in arrays.items() if ".attn." not in name}
    message = _refusal(_build(width=16), write(arrays))
    recipe = catalog.get("sha_rnn_enwik8")
    recipe = overrides.apply(recipe, overrides.parse(re.findall(r"--set=([^\s)]+)", message), recipe).items())
    found = {field: getattr(recipe.model, field) for field in ("width", "boom_width", "num_layers", "attention_layers")}
    assert found == {"width": 8, "boom_width": 16, "num_layers": 4, "attention_layers": attention_layers}


def test_collapsed_gates_are_refused_by_a_model_that_trains_them(model, arrays, write):
    message = _refusal(model, write(_collapsed(arrays)))
    assert "lacks weights of sha_rnn: block2_attention/value_kernel and 1 more;" in message
    assert "collapsed=True" in message

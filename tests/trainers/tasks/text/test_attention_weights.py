"""What attention looks at: the weights against the layer's own output, and the passage, bins and quotations by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from flags.run import parse
from tf_models.layers.memory_attention import MemoryAttention
from trainers.session import open_session
from trainers.tasks.text import attention_weights

MEMORY = 100


def session_of(*arguments):
    return open_session(
        parse(
            [
                "main", "--experiment=sha_rnn_enwik8", "--data=synthetic", "--strategy=one_device", "--devices=cpu:0",
                "--quiet", "--set=model.width=16", "--set=model.boom_width=16", "--set=model.num_layers=3",
                "--set=model.attention_layers=1", f"--set=model.memory_size={MEMORY}", *arguments,
            ]
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def session():
    return session_of()


@pytest.fixture(scope="module")
def model(session):
    """A network whose weights are large enough for its attention to be far from uniform."""
    keras.utils.set_random_seed(0)
    model = session.task.build_model()
    random = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(random.normal(0, 0.7, weight.shape))
    return model


@pytest.fixture(scope="module")
def measured(session, model):
    return attention_weights.measure(session.task, session.strategy, model)


# The layer's weights


@pytest.mark.parametrize("rows", [0, 3, 9], ids=["empty memory", "part of a memory", "full memory"])
@pytest.mark.parametrize("time", [4, 12], ids=["short segment", "segment longer than the memory"])
def test_the_weights_mix_the_values_into_the_layers_output(time, rows):
    random = np.random.default_rng(1)
    layer = MemoryAttention(collapsed=True, dtype="float64")
    inputs, memorised = random.normal(size=(2, 2, time, 5))
    memory = random.normal(size=(2, 9, 5))
    arguments = (tf.constant(inputs), tf.constant(memorised), tf.constant(memory), tf.fill([2], rows))
    layer.build(*(argument.shape for argument in arguments))
    for weight in layer.weights:
        weight.assign(random.normal(size=weight.shape))
    mix, _ = layer(*arguments)
    weights = layer.attention_weights(*arguments).numpy()
    seen = max(9 - time, 0)
    values = np.concatenate([memory[:, 9 - seen :], memorised], axis=1)
    np.testing.assert_allclose(weights @ values * layer.value_gate.numpy(), mix, atol=1e-12)
    np.testing.assert_allclose(weights.sum(axis=-1), 1)
    assert not weights[:, :, : max(seen - rows, 0)].any()


def test_the_weights_are_computed_in_the_inputs_precision_whatever_the_memory_is_kept_in():
    layer = MemoryAttention(dtype="mixed_bfloat16")
    half, full = tf.ones([1, 3, 4], tf.bfloat16), tf.ones([1, 6, 4], tf.float32)
    layer.build(half.shape, half.shape, full.shape, [1])
    assert layer.attention_weights(half, half, full, tf.constant([6])).dtype == tf.bfloat16


# What is measured


def test_every_attention_of_the_model_is_measured(session, measured):
    assert [layer["layer"] for layer in measured["layers"]] == [1]
    weights = np.array(measured["layers"][0]["weights"])
    assert weights.shape == (len(measured["passage"]), len(measured["edges"]) - 1)
    assert weights.max() > 5 / MEMORY


def test_the_passage_is_the_first_line_after_the_memory_has_filled(session, measured):
    text = session.task.dataset.text("test")
    begin = measured["begin"]
    assert measured["memory"] == MEMORY
    assert b"\n" not in text[MEMORY : begin - 1]
    assert text[begin - 1 : begin] == b"\n"
    assert "".join(measured["passage"]).replace("↵", "\n").encode() == text[begin : begin + 80]


def test_in_what_segments_the_text_before_was_read_changes_nothing(model, measured):
    session = session_of("--set=data.segment_length=7")
    other = attention_weights.measure(session.task, session.strategy, model)
    # 1e-4: other shapes are summed in another order, and softmax multiplies it.
    np.testing.assert_allclose(other["layers"][0]["weights"], measured["layers"][0]["weights"], atol=1e-4)


def test_the_share_is_that_of_rows_before_the_passage(measured):
    (layer,) = measured["layers"]
    assert 0 < layer["share"] < 1
    # The first query has its own row at 0 positions back, and nothing else of the passage.
    assert layer["weights"][0][0] + layer["weights"][0][1] <= 1


def test_every_look_is_at_what_is_before_the_passage_and_quotes_it(session, measured):
    (layer,) = measured["layers"]
    text = session.task.dataset.text("test").decode().replace("\n", "↵")
    assert len(layer["looks"]) == 15
    for look in layer["looks"]:
        read, there = (look[place].replace("‖", "") for place in ("read", "there"))
        place = text.index(read, measured["begin"] - 32)
        assert text.index(there, max(place - look["back"], 0)) == place - look["back"]
        assert place + look["read"].index("‖") - 1 - look["back"] < measured["begin"]


# Its parts


def test_weights_are_put_in_order_of_the_distance():
    weights = np.array([[0.2, 0.8, 0.0, 0.0], [0.1, 0.2, 0.7, 0.0], [0.1, 0.1, 0.3, 0.5]])
    expected = [[0.8, 0.2, 0, 0], [0.7, 0.2, 0.1, 0], [0.5, 0.3, 0.1, 0.1]]
    np.testing.assert_array_equal(attention_weights.by_distance(weights), expected)


@pytest.mark.parametrize("positions", [1, 3, 8, 100, 5000])
def test_bins_cover_every_position_once_and_grow(positions):
    edges = attention_weights.bin_edges(positions)
    assert (edges[0], edges[-1]) == (0, positions)
    sizes = np.diff(edges)
    assert (sizes > 0).all()
    assert (np.diff(sizes[:-1]) >= 0).all()
    assert all(size <= max(1, edge / 4) for edge, size in zip(edges, sizes))
    assert len(sizes) < 50


@pytest.mark.parametrize(
    ("text", "begin"),
    [("aaaa\nbb\ncccc", 5), ("aa\naaaa\n\ncccc", 9), ("aaaaaaaaaaaa", 4), ("aaaaaaa\nbb", 4), ("aaa", 0)],
    ids=["at a line", "not at an empty one", "no line", "no line long enough", "shorter than a passage"],
)
def test_a_passage_begins_at_a_line_if_it_can(text, begin):
    symbols = np.frombuffer(text.encode(), np.uint8)
    assert attention_weights.passage_begin(symbols, ord("\n"), memory=4, length=4) == begin


def test_the_strongest_look_of_every_stretch_is_quoted(session):
    text, begin = session.task.dataset.tokens("test"), 50
    distance = np.full([10, 60], 0.001)
    distance[3, 2] = 0.9  # within the passage: does not count
    distance[3, 40] = 0.5
    looks = attention_weights.looks(session.task.dataset, text, begin, distance)
    second = looks[3:6]
    assert [look["weight"] for look in second] == [0.5, 0.001, 0.001]
    assert second[0]["back"] == 40
    content = session.task.dataset.text("test").decode().replace("\n", "↵")
    assert second[0]["read"] == f"{content[22:54]}‖{content[54:66]}"
    assert second[0]["there"] == f"{content[:14]}‖{content[14:26]}"


@pytest.mark.parametrize(
    ("content", "unit", "text"),
    [
        (b"a", "byte", "a"),
        (b"\n", "byte", "↵"),
        (b"\xe9", "byte", "□"),
        (b"\x07", "byte", "□"),
        (b"caf\xc3\xa9 ", "word", "café"),
        ("日 ".encode(), "word", "□"),
    ],
)
def test_symbols_are_shown_by_letters_that_the_font_has(content, unit, text):
    assert attention_weights.shown(content, unit) == text

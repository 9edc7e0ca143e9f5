"""Symbols are drawn as asked, and a text is gone on with from exactly where it was, at a cost that does not grow."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_models
from tf_models.sha_rnn import collapse
from tf_models.state import empty_state
from trainers.tasks.text.sampling import Place, Writer, advance, draw, likeliest

SYMBOLS, MEMORY, SEGMENT = 17, 24, 8
PROMPT = np.arange(19) % SYMBOLS  # two segments and a rest
MODELS = {
    "sha_rnn": {"boom_width": 16, "num_layers": 1, "attention_layers": (0,), "memory_size": MEMORY},
    "plain_lstm": {"num_layers": 1},
}
GREEDY = {"seed": 0, "temperature": 1.0, "top_k": 1, "top_p": 1.0}
NUCLEUS = {"seed": 5, "temperature": 1.0, "top_k": None, "top_p": 0.98}


def build(name="sha_rnn", **options):
    """A small model whose answers differ from symbol to symbol, and which uses its memory: made, not trained."""
    model = tf_models.build_model(name, num_classes=SYMBOLS, width=8, **MODELS[name] | options)
    random = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.5, weight.shape))
    return model


def pen(model, segment_length=SEGMENT, **options):
    return Writer(collapse(model), functools.partial(draw, **NUCLEUS | options), segment_length)


@functools.cache
def usual_pen(name="sha_rnn"):
    """One for all tests: to compile it takes a second."""
    return pen(build(name))


def written(writer, prompt, *counts):
    """What is written after a prompt in pieces of given lengths, as one list."""
    place, symbols = writer.begin(prompt), []
    for count in counts:
        piece, place = writer.write(place, count)
        symbols += piece.tolist()
    return symbols


def softmax(scores):
    exponentials = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def kept(scores, **options):
    """The ids that may be drawn, row by row."""
    options = {"temperature": 1.0, "top_k": None, "top_p": 1.0} | options
    left, ids = likeliest(tf.constant(scores, tf.float32), **options)
    return [set(row[np.isfinite(each)].tolist()) for each, row in zip(left.numpy(), ids.numpy())]


def nucleus(scores, p):
    """The rule of the author's code: drop what comes after the first whose cumulative probability exceeds p."""
    order = np.argsort(-scores)
    cumulative = np.cumsum(softmax(scores)[order])
    exceeds = np.flatnonzero(cumulative > p)
    return set(order[: exceeds[0] + 1 if len(exceeds) else None].tolist())


@pytest.fixture(scope="module")
def scores():
    return np.random.default_rng(0).normal(0, 2, (40, 50))


@pytest.mark.parametrize("p", [0.001, 0.3, 0.9, 0.98])
def test_the_nucleus_is_that_of_numpy(scores, p):
    assert kept(scores, top_p=p) == [nucleus(row, p) for row in scores]


def test_the_symbol_that_exceeds_the_share_stays():
    scores = np.log([[0.125, 0.5, 0.25, 0.0625, 0.0625]])
    assert kept(scores, top_p=0.5) == [{1, 2}]  # 0.5 does not exceed 0.5
    assert kept(scores, top_p=0.49) == [{1}]
    assert kept(scores, top_p=0.8) == [{0, 1, 2}]


def test_a_share_of_1_keeps_every_symbol():
    assert kept(np.zeros([1, 100_000]), top_p=1.0) == [set(range(100_000))]


def test_the_likeliest_k_are_kept(scores):
    assert kept(scores, top_k=7) == [set(np.argsort(-row)[:7].tolist()) for row in scores]
    assert kept(scores, top_k=51) == [set(range(50))] * 40


def test_the_nucleus_is_taken_of_what_temperature_and_top_k_leave(scores):
    expected = []
    for row in scores:
        left = np.argsort(-row)[:7]
        expected.append({int(left[index]) for index in nucleus(row[left] / 1.5, 0.6)})
    assert kept(scores, temperature=1.5, top_k=7, top_p=0.6) == expected


@pytest.mark.parametrize("options", [{"temperature": 0.7}, {"temperature": 2.5, "top_k": 4}, {"top_p": 0.8}])
def test_symbols_are_drawn_as_often_as_their_probabilities_say(options):
    options = {"temperature": 1.0, "top_k": None, "top_p": 1.0} | options
    scores = np.random.default_rng(3).normal(0, 1.5, 12)
    draws = 40_000
    drawn = draw(tf.constant(np.tile(scores, (draws, 1)), tf.float32), tf.constant(0), seed=1, **options)
    (left,) = kept(scores[np.newaxis], **options)
    expected = softmax(np.where(np.isin(np.arange(12), list(left)), scores / options["temperature"], -np.inf))
    shares = np.bincount(drawn, minlength=12) / draws
    assert np.all(np.abs(shares - expected) <= 4.5 * np.sqrt(expected * (1 - expected) / draws))


@pytest.mark.parametrize("temperature", [1e-300, 1e-45, 1e-6])
@pytest.mark.parametrize("scale", [1e-3, 1e30])
def test_near_temperature_0_the_likeliest_symbol_is_drawn(scores, temperature, scale):
    scores = tf.constant(scores * scale, tf.float32)
    drawn = draw(scores, tf.constant(0), seed=0, temperature=temperature, top_k=None, top_p=1.0)
    assert drawn.numpy().tolist() == np.argmax(scores, axis=1).tolist()


def test_the_hottest_draw_knows_no_scores():
    scores = tf.constant(np.tile([0.0, 50.0, -50.0, 10.0], (8000, 1)), tf.float32)
    drawn = draw(scores, tf.constant(0), seed=0, temperature=1e300, top_k=None, top_p=1.0)
    assert np.bincount(drawn, minlength=4) == pytest.approx([2000] * 4, rel=0.1)


def test_a_draw_is_the_seeds_and_the_positions():
    def drawn():
        options = {"temperature": 1.0, "top_k": None, "top_p": 1.0}
        each = [(seed, tf.constant(position)) for seed in (0, 1, 2**32 - 1) for position in (0, 1, 2)]
        return [draw(tf.zeros([1, 1000]), position, seed=seed, **options).numpy()[0] for seed, position in each]

    assert drawn() == drawn()
    assert len(set(drawn())) == 9


@pytest.mark.parametrize("name", MODELS)
def test_a_text_is_the_same_however_many_symbols_are_written_at_once(name):
    at_once = written(usual_pen(name), PROMPT, 40)
    assert at_once == written(usual_pen(name), PROMPT, *[1] * 40) == written(usual_pen(name), PROMPT, 7, 0, 32, 1)
    assert len(set(at_once)) > 3


def test_another_seed_writes_another_text():
    assert written(usual_pen(), PROMPT, 40) != written(pen(build(), seed=6), PROMPT, 40)


@pytest.mark.parametrize("name", MODELS)
def test_a_place_that_was_saved_and_restored_is_gone_on_from(name):
    writer = usual_pen(name)
    beginning, place = writer.write(writer.begin(PROMPT), 15)
    saved = {part: array.numpy() for part, array in place.state.items()}, place.last.numpy(), place.drawn.numpy()
    written(writer, PROMPT[::-1], 20)  # of one text nothing is left in the writer when it writes another
    rest, _ = writer.write(Place(*tf.nest.map_structure(tf.constant, saved)), 25)
    assert [*beginning, *rest] == written(writer, PROMPT, 40)


@pytest.mark.parametrize(
    "name, options",
    [("sha_rnn", {"memory_size": 64}), ("sha_rnn", {"memory_size": 64, "softmax_splits": (4, 9)}), ("plain_lstm", {})],
)
def test_the_greedy_text_is_the_argmax_of_the_trained_model_in_one_call(name, options):
    model, prompt = build(name, **options), PROMPT[:12]
    text = [*prompt, *written(pen(model, **GREEDY), prompt, 40)]
    outputs = model({"tokens": tf.constant([text]), "state": empty_state(model, 1)}, training=False)
    assert text[12:] == np.argmax(outputs["logits"][0, 11:-1], axis=1).tolist()


def test_beyond_memory_a_text_is_what_single_calls_of_the_trained_model_give():
    model, tokens = build(), tf.constant(PROMPT[np.newaxis], tf.int32)
    call, state = tf.function(functools.partial(advance, model), reduce_retracing=True), empty_state(model, 1)
    for begin in (0, SEGMENT, 2 * SEGMENT):
        state = call(tokens[:, begin : min(begin + SEGMENT, len(PROMPT) - 1)], state)["state"]
    last, expected = tokens[:, -1:], []
    for _ in range(MEMORY + 10):
        outputs = call(last, state)
        state, last = outputs["state"], tf.argmax(outputs["logits"], axis=2, output_type=tf.int32)
        expected.append(int(last[0, 0]))
    assert written(pen(model, **GREEDY), PROMPT, MEMORY + 10) == expected


def test_a_prompt_is_read_in_segments_as_if_at_once():
    at_once = pen(build(), segment_length=1000)
    for length in (1, 2, SEGMENT, SEGMENT + 1, SEGMENT + 2, len(PROMPT)):
        assert written(usual_pen(), PROMPT[:length], 20) == written(at_once, PROMPT[:length], 20), length


@pytest.mark.parametrize("name", MODELS)
def test_a_prompt_is_read_from_its_first_symbol_to_the_last_but_one(name):
    states = []
    for first, last in ((0, 0), (1, 0), (0, 1)):
        prompt = PROMPT.copy()
        prompt[0] += first
        prompt[-1] += last
        place = usual_pen(name).begin(prompt)
        states.append(place.state["block0_h"])
        assert place.last == prompt[-1]
    assert np.any(states[0] != states[1])
    assert np.all(states[0] == states[2])


def test_a_late_symbol_costs_what_the_first_does():
    writer = usual_pen()
    _, first = writer.write(writer.begin(PROMPT), 1)
    _, later = writer.write(first, 4999)
    assert int(later.drawn) == 5000 and writer.traces == 1
    for name, part in first.state.items():
        assert (part.shape, part.dtype) == (later.state[name].shape, later.state[name].dtype), name


def test_a_model_on_several_replicas_writes_the_text_of_one(two_replicas):
    with two_replicas.scope():
        replicated = build()
    assert written(pen(replicated), PROMPT, 30) == written(usual_pen(), PROMPT, 30)


def test_a_model_in_mixed_precision_keeps_its_state_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        writer = pen(build())
    finally:
        keras.config.set_dtype_policy("float32")
    symbols, place = writer.write(writer.begin(PROMPT), 30)
    assert len(symbols) == 30
    assert {name: part.dtype for name, part in place.state.items()} == {
        **{name: tf.float32 for name in place.state}, "memory_rows": tf.int32
    }  # fmt: skip


def test_scores_that_are_not_finite_are_refused():
    model = build()
    bias = model.get_layer("embedding").bias
    bias.assign(tf.where(tf.range(SYMBOLS) == 3, np.nan, bias))
    with pytest.raises(tf.errors.InvalidArgumentError, match="scores of the next symbol"):
        written(pen(model), PROMPT, 1)

"""Translations are those that the model itself, asked anew for every symbol, says are the likeliest."""

import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_models
from trainers.tasks.translation.decoding import Decoder

BEGIN, END = 1, 2
SYMBOLS, LENGTH = 9, 12
SIZES = {"num_classes": SYMBOLS, "d_model": 16, "layers": 2, "heads": 2}


def build(**options):
    """A small model whose answers differ from source to source: made, not trained."""
    model = tf_models.build_model("transformer", **SIZES | options)
    random = np.random.default_rng(1)
    for weight in model.weights:
        noise = random.normal(size=weight.shape)
        is_matrix = len(weight.shape) == 2
        weight.assign(noise / 4 if is_matrix else noise / 10 + weight.path.endswith("gamma"))
    return model


@functools.cache
def usual_model():
    return build()


@functools.cache
def usual_decoder(**options):
    """One for all tests: to compile it takes a second."""
    return Decoder(usual_model(), **{"max_length": LENGTH, "begin": BEGIN, "end": END} | options)


def sources(batch=6, time=7):
    """Sources of different lengths, padded."""
    random = np.random.default_rng(0)
    texts = random.integers(3, SYMBOLS, (batch, time))
    texts[np.arange(time) >= random.integers(1, time + 1, batch)[:, np.newaxis]] = 0
    return texts.astype(np.int32)


@functools.cache
def compiled(model):
    """The whole model, which is asked hundreds of times."""
    return tf.function(model, input_signature=[{name: tf.TensorSpec([1, None], tf.int32) for name in model.input}])


def log_probabilities(model, source, text):
    """Of every symbol after `text`, as the whole model says."""
    inputs = {"source": tf.constant(source[np.newaxis]), "target": tf.constant([[BEGIN, *text]])}
    return tf.nn.log_softmax(compiled(model)(inputs)[0, -1]).numpy()


def symbols_of(row):
    """A decoded row without its padding."""
    return [int(symbol) for symbol in row if symbol != 0]


def search(model, source, beam, length_penalty, max_length):
    """The rules of `Decoder`, one text after another: the best text and its score."""
    going, ended = [(0.0, [])], []
    for length in range(1, max_length + 1):
        longer = []
        for total, text in going:
            scores = log_probabilities(model, source, text)
            allowed = range(1, len(scores)) if length < max_length else [END]
            longer += [(total + scores[symbol], [*text, symbol]) for symbol in allowed]
        longer = sorted(longer, reverse=True)[: 2 * beam]
        ended += [(total / length**length_penalty, text) for total, text in longer[:beam] if text[-1] == END]
        going = [(total, text) for total, text in longer if text[-1] != END][:beam]
        if len(ended) >= beam:
            break
    score, text = max(ended)
    return text, score


def test_the_greedy_text_is_the_argmax_of_the_whole_model_symbol_by_symbol():
    model, lengths = usual_model(), []
    texts, scores = usual_decoder().decode(sources())
    for source, row, score in zip(sources(), texts.numpy(), scores.numpy()):
        text, total = [], 0.0
        while not text or text[-1] != END:
            after = log_probabilities(model, source, text)
            text.append(1 + int(np.argmax(after[1:])) if len(text) < LENGTH - 1 else END)
            total += after[text[-1]]
        assert symbols_of(row) == text
        assert score == pytest.approx(total / len(text), abs=1e-5)
        lengths.append(len(text))
    assert len(set(lengths)) > 2  # some end by themselves, at different places


@pytest.mark.parametrize("beam, length_penalty", [(1, 1.0), (2, 1.0), (4, 1.0), (4, 0.0), (5, 2.0)])
def test_a_beam_search_is_that_of_the_rules(beam, length_penalty):
    texts, scores = usual_decoder(beam=beam, length_penalty=length_penalty).decode(sources())
    for source, row, score in zip(sources(), texts.numpy(), scores.numpy()):
        text, wanted = search(usual_model(), source, beam, length_penalty, LENGTH)
        assert symbols_of(row) == text
        assert score == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 2.0])
def test_a_beam_as_wide_as_all_texts_finds_the_best_of_all(length_penalty):
    model, max_length = build(num_classes=5), 4
    others = [symbol for symbol in range(1, 5) if symbol != END]
    every = [[*text, END] for length in range(max_length) for text in itertools.product(others, repeat=length)]
    source = np.array([3, 4, 1, 0], np.int32)
    totals = [sum(log_probabilities(model, source, text[:i])[text[i]] for i in range(len(text))) for text in every]
    scores = [total / len(text) ** length_penalty for text, total in zip(every, totals)]
    decoder = Decoder(
        model, beam=len(every), length_penalty=length_penalty, max_length=max_length, begin=BEGIN, end=END
    )
    texts, score = decoder.decode(source[np.newaxis])
    assert symbols_of(texts[0].numpy()) == every[int(np.argmax(scores))]
    assert float(score[0]) == pytest.approx(max(scores), abs=1e-5)


def test_a_higher_length_penalty_gives_longer_texts():
    lengths = [
        np.count_nonzero(usual_decoder(beam=4, length_penalty=penalty).decode(sources())[0]) for penalty in (0.0, 2.0)
    ]
    assert lengths[0] < lengths[1]


@pytest.mark.parametrize("beam", [1, 4])
def test_a_text_ends_with_its_end_and_padding_follows(beam):
    texts, _ = usual_decoder(beam=beam).decode(sources())
    assert texts.dtype == tf.int32 and texts.shape[1] <= LENGTH
    for row in texts.numpy().tolist():
        place = row.index(END)
        assert 0 not in row[:place] and set(row[place + 1 :]) <= {0}


@pytest.mark.parametrize("beam", [1, 4])
def test_a_sources_text_is_the_same_whatever_stands_beside_it(beam):
    decoder = usual_decoder(beam=beam)
    together, scores = decoder.decode(np.pad(sources(), [[0, 1], [0, 3]]))  # and a row of nothing but padding
    for source, row, score in zip(sources(), together.numpy(), scores.numpy()):
        alone, its_score = decoder.decode(source[np.newaxis, : np.count_nonzero(source)])
        assert symbols_of(alone[0].numpy()) == symbols_of(row)
        assert float(its_score[0]) == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize("beam", [1, 3])
def test_padding_is_never_a_symbol_of_a_text_however_likely(beam):
    model = build(shared_embeddings="none")
    norm, embedding = model.get_layer("decoder1_fold_norm"), model.get_layer("output_embedding")
    norm.beta.assign(tf.ones_like(norm.beta))
    embedding.embeddings.assign(tf.tensor_scatter_nd_update(embedding.embeddings, [[0]], tf.ones([1, 16])))
    texts, scores = Decoder(model, beam=beam, max_length=5, begin=BEGIN, end=END).decode(sources())
    for source, row, score in zip(sources(), texts.numpy(), scores.numpy()):
        assert np.argmax(log_probabilities(model, source, [])) == 0
        text, wanted = search(model, source, beam, 1.0, 5)
        assert symbols_of(row) == text and row.tolist().index(END) == len(text) - 1
        assert score == pytest.approx(wanted, abs=1e-5)


def test_texts_of_one_symbol_are_the_end():
    texts, scores = usual_decoder(max_length=1, beam=3).decode(sources())
    assert texts.numpy().tolist() == [[END]] * len(sources())
    for source, score in zip(sources(), scores.numpy()):
        assert score == pytest.approx(log_probabilities(usual_model(), source, [])[END], abs=1e-5)


@pytest.mark.parametrize("beam", [1, 4])
def test_decoding_is_traced_once_whatever_the_shapes(beam):
    decoder = Decoder(usual_model(), beam=beam, max_length=LENGTH, begin=BEGIN, end=END)
    for batch, time in ((2, 3), (2, 3), (5, 3), (2, 8)):
        decoder.decode(sources(batch, time))
    assert decoder.traces == 1


def test_weights_that_change_are_used():
    model = build()
    decoder = Decoder(model, max_length=LENGTH, begin=BEGIN, end=END)
    decoder.decode(sources())
    model.set_weights([-weight for weight in model.get_weights()])
    for source, row in zip(sources(), decoder.decode(sources())[0].numpy()):
        assert symbols_of(row) == search(model, source, 1, 1.0, LENGTH)[0]


def test_a_model_whose_logits_have_a_matrix_of_their_own_decodes_too():
    model = build(shared_embeddings="none")
    texts, _ = Decoder(model, max_length=LENGTH, begin=BEGIN, end=END).decode(sources())
    for source, row in zip(sources(), texts.numpy()):
        assert symbols_of(row) == search(model, source, 1, 1.0, LENGTH)[0]


def test_a_model_on_several_replicas_writes_the_text_of_one(two_replicas):
    with two_replicas.scope():
        replicated = build()
    texts, _ = Decoder(replicated, beam=4, max_length=LENGTH, begin=BEGIN, end=END).decode(sources())
    np.testing.assert_array_equal(texts, usual_decoder(beam=4).decode(sources())[0])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_model_in_mixed_precision_scores_in_float32(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = build()
        texts, scores = Decoder(model, beam=3, max_length=LENGTH, begin=BEGIN, end=END).decode(sources())
    finally:
        keras.config.set_dtype_policy("float32")
    assert scores.dtype == tf.float32 and np.all(np.isfinite(scores))
    for source, row, score in zip(sources(), texts.numpy(), scores.numpy()):
        text = symbols_of(row)
        total = sum(log_probabilities(usual_model(), source, text[:i])[text[i]] for i in range(len(text)))
        assert score == pytest.approx(total / len(text), abs=0.1)


def test_logits_that_are_not_finite_are_refused():
    model = build()
    norm = model.get_layer("decoder1_fold_norm")
    norm.beta.assign(tf.fill(norm.beta.shape, np.nan))
    with pytest.raises(tf.errors.InvalidArgumentError, match="logits of the next symbol"):
        Decoder(model, max_length=LENGTH, begin=BEGIN, end=END).decode(sources())


@pytest.mark.parametrize(
    "options, said",
    [
        ({"beam": 0}, "beam=0: must be an integer of 1 or more"),
        ({"max_length": 0}, "max_length=0: must be an integer of 1 or more"),
        ({"length_penalty": -1.0}, "length_penalty=-1.0: must be 0 or more"),
        ({"begin": 9}, "begin=9: must be a symbol, 1 to 8"),
        ({"end": 0}, "end=0: must be a symbol, 1 to 8"),
    ],
)
def test_what_cannot_be_searched_for_is_refused_by_name(options, said):
    with pytest.raises(ValueError, match=said):
        usual_decoder(**options)

"""The SavedModel of a language model says what the live model says, of any texts, and needs nothing of this project."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from flags.errors import RunError
from flags.run import parse
from tf_models.state import empty_state
from trainers.data.builders.byte_records import SPLITS
from trainers.data.builders.enwik8 import Enwik8
from trainers.data.sources import Source
from trainers.session import open_session
from trainers.tasks.text.saved_model import TextSavedModel

ONE_CPU = ("--strategy=one_device", "--devices=cpu:0")
SEGMENT, MEMORY = 8, 20
SMALL = ("--set=model.width=8", "--set=model.num_layers=1", f"--set=data.segment_length={SEGMENT}", *ONE_CPU)
TINY = (
    *SMALL, "--set=model.boom_width=24", "--set=model.attention_layers=0", f"--set=model.memory_size={MEMORY}",
)  # fmt: skip
TEXT = b"To be, or not to be: that is the question:\nWhether 'tis nobler \xe2\x80\xa6"
WORDS = " \n = The <unk> = \n \n the cat saw the dog , and the dog saw the cat \u00a0 \n"
ODD_BLANKS = "the\u00a0cat  saw\tthe\r\ndog\r\r , \u2003and\x1cthe\x85cat \u3000saw\x0bthe\x0cdog\u2028\n\n"


def build(session):
    """A small model whose answers differ from symbol to symbol, and which uses its memory: made, not trained."""
    model, random = session.task.build_model(), np.random.default_rng(4)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.5, weight.shape))
    return model


class Exported:
    """A session, its live model, and what was written of it."""

    def __init__(self, folder, *arguments):
        self.session = open_session(parse(["main", *arguments]))
        self.model, self.path = build(self.session), folder / "saved_model"
        self.of(self.model).write(self.path)
        self.signatures = tf.saved_model.load(str(self.path)).signatures

    def of(self, model):
        return TextSavedModel(self.session.task, model)

    def answers(self, *texts):
        given = self.signatures["serving_default"](text=tf.constant(texts, tf.string, [len(texts)]))
        return {name: array.numpy() for name, array in given.items()}

    def expected(self, text):
        """Probabilities after a text, and the bits of each of its symbols, by the live model in NumPy."""
        ids = self.session.task.dataset.encode(b"\n" + text).astype(np.int32)
        padding = -len(ids) % SEGMENT if len(ids) > SEGMENT else 0
        tokens, state, probabilities = tf.constant([[*ids, *[0] * padding]]), empty_state(self.model, 1), []
        for begin in range(0, len(ids), SEGMENT):
            outputs = self.model({"tokens": tokens[:, begin : begin + SEGMENT], "state": state}, training=False)
            state = outputs["state"]
            scores = outputs["logits"][0].numpy().astype(np.float64)
            probabilities.append(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True))
        probabilities = np.concatenate(probabilities)[: len(ids)]
        return probabilities[-1], -np.log2(probabilities[np.arange(len(ids) - 1), ids[1:]])


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory):
    two_layers = ("--set=model.num_layers=2", "--set=model.attention_layers=0,1")
    arguments = ("--experiment=sha_rnn_enwik8", "--data=synthetic", *TINY, *two_layers)
    return Exported(tmp_path_factory.mktemp("bytes"), *arguments)


@pytest.fixture(scope="module")
def of_words(tmp_path_factory, wikitext2_of):
    """On a `wikitext2` of a few words, some of them in a softmax of their own."""
    folder = wikitext2_of(*[WORDS * 40] * 3)
    arguments = ("--experiment=sha_rnn_wikitext2", "--data=paper", f"--data_dir={folder}", *TINY)
    return Exported(tmp_path_factory.mktemp("words"), *arguments, "--set=model.softmax_splits=3,6")


@pytest.mark.parametrize("length", [0, 1, SEGMENT - 1, SEGMENT, MEMORY + SEGMENT + 3, len(TEXT)])
def test_a_text_has_the_probabilities_and_bits_of_the_live_model(of_bytes, length):
    text = TEXT[:length]
    answers, (probabilities, bits) = of_bytes.answers(text), of_bytes.expected(text)
    assert answers["probabilities"][0] == pytest.approx(probabilities, abs=1e-5)
    assert answers["bits"][0] == pytest.approx(bits.sum(), rel=1e-4)
    assert answers["bits_per_character"][0] == pytest.approx(bits.mean() if length else 0, rel=1e-4)


def test_texts_of_any_lengths_share_a_batch_as_if_each_were_alone(of_bytes):
    texts = [TEXT, b"", TEXT[:3], b"\x00\xff\n", TEXT[5 : 5 + SEGMENT], TEXT[:41]]
    together = of_bytes.answers(*texts)
    for row, text in enumerate(texts):
        alone = of_bytes.answers(text)
        for name, array in together.items():
            assert array[row] == pytest.approx(alone[name][0], rel=1e-4, abs=1e-5), (name, text)


def test_no_texts_have_no_answers(of_bytes):
    answers = of_bytes.answers()
    assert answers["probabilities"].shape == (0, 256) and answers["bits"].shape == (0,)


def test_columns_stand_for_the_symbols(of_bytes):
    symbols = of_bytes.signatures["symbols"]()["symbols"].numpy().tolist()
    assert tuple(symbols) == of_bytes.session.task.dataset.symbols
    assert sorted(symbols) == [bytes([byte]) for byte in range(256)]


def test_steps_from_the_start_are_those_of_the_live_model(of_bytes):
    ids = of_bytes.session.task.dataset.encode(TEXT[: MEMORY + 5]).astype(np.int32)
    state, live_state = of_bytes.signatures["start"](batch=tf.constant(2)), empty_state(of_bytes.model, 2)
    for first, second in zip(ids, ids[::-1]):
        state = of_bytes.signatures["step"](token=tf.constant([first, second]), **state)
        live = of_bytes.model({"tokens": tf.constant([[first], [second]]), "state": live_state}, training=False)
        live_state = live["state"]
        assert state.pop("logits").numpy() == pytest.approx(live["logits"][:, 0].numpy(), abs=1e-4)
        assert state.keys() == live_state.keys()
    for name, part in state.items():
        assert part.numpy() == pytest.approx(live_state[name].numpy(), abs=1e-4), name


def test_steps_go_on_where_a_text_would(of_bytes):
    text = TEXT[: SEGMENT - 1]  # with the line break, one segment
    state = of_bytes.signatures["start"](batch=tf.constant(1))
    for symbol in of_bytes.session.task.dataset.encode(b"\n" + text):
        state = of_bytes.signatures["step"](token=tf.constant([symbol], tf.int32), **state)
        logits = state.pop("logits")
    assert tf.nn.softmax(logits)[0].numpy() == pytest.approx(of_bytes.answers(text)["probabilities"][0], abs=1e-5)


def test_the_value_gates_are_collapsed(of_bytes):
    shapes = [shape for _, shape in tf.train.list_variables(str(of_bytes.path / "variables" / "variables"))]
    assert any("value_kernel" in weight.name for weight in of_bytes.model.weights)
    assert [8, 8] in shapes and [8, 16] not in shapes  # kernels of queries; of values


@pytest.fixture(scope="module")
def of_few_bytes(tmp_path_factory):
    """On an `enwik8` in which only a, b and the line break occur; of a model without attention."""
    folder = tmp_path_factory.mktemp("tfds_enwik8")
    (folder / "downloads" / "manual").mkdir(parents=True)
    parts = (b"abba\n" * 20, b"ab\n" * 20, b"ba\n" * 20)
    (folder / "downloads" / "manual" / "enwik8").write_bytes(b"".join(parts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Enwik8, "NUM_TOKENS", dict(zip(SPLITS, map(len, parts))))
        Source("enwik8", folder).prepare()
        arguments = ("--experiment=plain_lstm_enwik8", "--data=paper", f"--data_dir={folder}", *SMALL)
        yield Exported(tmp_path_factory.mktemp("few_bytes"), *arguments)


def test_a_byte_that_is_no_symbol_costs_infinitely_many_bits_and_breaks_nothing(of_few_bytes):
    answers = of_few_bytes.answers(b"ab", b"aXb", b"X")
    assert answers["bits"].tolist() == [answers["bits"][0], np.inf, np.inf] and np.isfinite(answers["bits"][0])
    assert answers["bits_per_character"][1] == np.inf
    most_frequent = of_few_bytes.session.task.dataset.symbols[0]
    as_if = of_few_bytes.answers(b"ab", b"a" + most_frequent + b"b", most_frequent)
    assert answers["probabilities"].tolist() == as_if["probabilities"].tolist()


def test_a_model_without_attention_is_exported_as_well(of_few_bytes):
    answers, (probabilities, bits) = of_few_bytes.answers(b"abba\nab"), of_few_bytes.expected(b"abba\nab")
    assert answers["probabilities"][0] == pytest.approx(probabilities, abs=1e-5)
    assert answers["bits"][0] == pytest.approx(bits.sum(), rel=1e-4)


@pytest.mark.parametrize("text", ["the cat saw", "the cat \n the dog\n", ODD_BLANKS, "", " \n "])
def test_words_are_those_that_python_splits(of_words, text):
    answers, (probabilities, bits) = of_words.answers(text.encode()), of_words.expected(text.encode())
    assert answers["probabilities"][0] == pytest.approx(probabilities, abs=1e-5)
    assert answers["bits"][0] == pytest.approx(bits.sum(), rel=1e-4)
    assert answers["perplexity"][0] == pytest.approx(2 ** bits.mean() if len(bits) else 1, rel=1e-4)


def test_unknown_words_are_read_as_unk(of_words):
    answers = of_words.answers(b"the horse saw", b"the <unk> saw", b"the \xff saw")
    assert answers["bits"].tolist() == pytest.approx([answers["bits"][1]] * 3)
    assert np.isfinite(answers["bits"]).all()
    assert answers["probabilities"][0] == pytest.approx(answers["probabilities"][1])


def test_words_pass_the_check(of_words):
    assert of_words.of(of_words.model).check(of_words.path) < 1e-6
    assert tuple(of_words.signatures["symbols"]()["symbols"].numpy()) == of_words.session.task.dataset.symbols


def test_what_was_written_is_close_to_the_live_model(of_bytes):
    assert of_bytes.of(of_bytes.model).check(of_bytes.path) < 1e-6


def test_another_model_than_the_live_one_is_refused(of_bytes):
    other = build(of_bytes.session)
    gate = other.get_layer("block0_attention").query_gate
    gate.assign(gate + np.arange(8))
    with pytest.raises(RunError, match="differs from the live one by .*: nothing was exported"):
        of_bytes.of(other).check(of_bytes.path)


def test_a_model_that_is_not_finite_is_refused(of_bytes):
    broken = build(of_bytes.session)
    broken.get_layer("embedding").bias.assign(np.full([256], np.nan))
    with pytest.raises(RunError, match="diverged .its probabilities .*nothing was exported.*learning rate") as error:
        of_bytes.of(broken).check(of_bytes.path)
    assert "\n" not in str(error.value)


def test_it_loads_without_keras_and_this_project(of_bytes, of_words, tmp_path):
    script = """
import json, sys
sys.modules["keras"] = None  # importing it is an error
import tensorflow as tf
for path in sys.argv[1:]:
    served = tf.saved_model.load(path).signatures
    answers = served["serving_default"](text=tf.constant(["the cat", ""]))
    state = served["step"](token=tf.constant([0, 1, 2]), **served["start"](batch=tf.constant(3)))
    print(json.dumps([answers["bits"].numpy().tolist(), list(state["logits"].shape)]))
print([name for name in sys.modules if name.split(".")[0] in ("trainers", "tf_models", "flags")])
"""
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    line = [sys.executable, "-c", script, str(of_bytes.path), str(of_words.path)]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, env=env, check=True)
    *answers, ours = done.stdout.splitlines()
    assert ours == "[]"
    for exported, answer in zip((of_bytes, of_words), answers, strict=True):
        bits, shape = json.loads(answer)
        assert bits == pytest.approx(exported.answers(b"the cat", b"")["bits"].tolist()) and bits[1] == 0
        assert shape == [3, exported.session.task.dataset.num_classes]

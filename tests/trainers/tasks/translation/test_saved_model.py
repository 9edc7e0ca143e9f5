"""The SavedModel of a translation model translates texts as the live model does, and needs nothing of this project."""

import json
import os
import random
import subprocess
import sys
import types

import numpy as np
import pytest
import sentencepiece
import tensorflow as tf

from flags.data import Sentences
from flags.errors import RunError
from tests.trainers.opening import open_pairs
from tests.trainers.tasks.translation.test_translating import ONE_CPU, build, leave_a_run
from trainers.main import main
from trainers.tasks.translation import token_batches, vocabulary
from trainers.tasks.translation.decoding import Decoder
from trainers.tasks.translation.saved_model import GraphSubwords, TranslationSavedModel
from trainers.tasks.translation.translating import Translator, longest_translation
from trainers.tasks.translation.vocabulary import BEGIN, END

DATA = Sentences(name="django_de_en", test_split="test", max_length=20, beam=2)
ODD_TEXTS = (
    "", " ", "??", "? ??", "<s> a</s>", "<unk>", "<pad>", "▁a", "a▁b", "a▁", "▁", "▁▁ ▁", "a ▁ b ▁", "\x00",
    "日本語 日本", "a\u2003b\x1cc\x85", "aaaa aaaaaaa", "  x  y ", "a\r\nb\n", "\ufffd", "x ▁\u3000", "\u200b a",
    "\ufeffa", "ﬁ½é€",
)  # fmt: skip


@pytest.fixture(scope="module")
def django(tmp_path_factory):
    return open_pairs("django_de_en", tmp_path_factory.mktemp("tfds"))


@pytest.fixture(scope="module")
def subwords(django):
    pairs = django.pairs("train[:40%]")
    return vocabulary.learn((*pairs.source, *pairs.target), 300)


class Exported:
    """What was written of a small model, and the live one."""

    def __init__(self, folder, dataset, subwords):
        recipe = types.SimpleNamespace(data=DATA)
        self.task = types.SimpleNamespace(recipe=recipe, subwords=subwords, dataset=dataset)
        self.model, self.path = build(subwords), folder / "saved_model"
        self.of(self.model).write(self.path)
        self.signatures = tf.saved_model.load(str(self.path)).signatures

    def of(self, model):
        return TranslationSavedModel(self.task, model)

    def answers(self, *texts):
        given = self.signatures["serving_default"](text=tf.constant(texts, tf.string, [len(texts)]))
        return {name: array.numpy() for name, array in given.items()}


@pytest.fixture(scope="module")
def exported(tmp_path_factory, django, subwords):
    return Exported(tmp_path_factory.mktemp("exported"), django, subwords)


@pytest.fixture(scope="module")
def texts(django):
    return sorted(django.pairs("test").source, key=len)[:40:5]


def test_texts_have_the_translations_and_scores_of_the_live_model(exported, subwords, texts):
    decoder = Decoder(exported.model, beam=2, max_length=longest_translation(20), begin=BEGIN, end=END)
    tokens, scores = decoder.decode(token_batches.padded_sources(texts, subwords))
    answers = exported.answers(*texts)
    assert answers["tokens"].tolist() == tokens.numpy().tolist()
    assert answers["scores"] == pytest.approx(scores.numpy(), abs=1e-6)
    assert [text.decode() for text in answers["translation"]] == [subwords.decode(row) for row in tokens.numpy()]


def test_texts_of_any_lengths_share_a_batch_as_if_each_were_alone(exported, texts):
    together = exported.answers(*texts, "")
    for row, text in enumerate([*texts, ""]):
        alone = exported.answers(text)
        assert together["translation"][row] == alone["translation"][0]
        assert together["scores"][row] == pytest.approx(alone["scores"][0], abs=1e-5)


def test_short_translations_are_those_of_the_translator(exported, subwords, texts):
    wanted = Translator(exported.model, subwords, beam=2).translate(texts)
    answers = exported.answers(*texts)
    # A text that did not end by itself is cut by each at its own length.
    ended = np.count_nonzero(answers["tokens"], axis=1) < 16
    assert ended.sum() > len(texts) / 2
    assert [t.decode() for t, e in zip(answers["translation"], ended) if e] == [t for t, e in zip(wanted, ended) if e]


def test_no_texts_have_no_answers_and_blanks_have_an_empty_one(exported):
    assert exported.answers()["translation"].shape == (0,)
    assert exported.answers("", " \n")["translation"].tolist() == [b"", b""]


def test_tokens_are_translated_as_their_texts_are(exported, texts):
    tokens = exported.signatures["encode"](text=tf.constant(texts))["tokens"]
    answers, of_text = exported.signatures["translate"](source=tokens), exported.answers(*texts)
    assert {name: answers[name].numpy().tolist() for name in answers} == {
        name: of_text[name].tolist() for name in ("tokens", "scores")
    }


def test_the_vocabulary_lies_beside_as_a_file_that_sentencepiece_reads(exported, subwords, texts):
    processor = sentencepiece.SentencePieceProcessor(str(exported.path / "assets.extra" / "vocabulary.model"))
    tokens = exported.signatures["encode"](text=tf.constant(texts))["tokens"].numpy()
    assert [row[row != 0].tolist() for row in tokens] == [[*ids, END] for ids in processor.encode(texts)]


def test_a_translation_costs_what_the_live_model_says_symbol_by_symbol(exported, django, subwords):
    sides = [side[:4] for side in django.pairs("test")]
    source, target = (token_batches.padded_sources(list(side), subwords) for side in sides)
    nats = exported.signatures["score"](source=tf.constant(source), target=tf.constant(target))["nats"].numpy()
    for row, (one, other) in enumerate(zip(source, target)):
        one, other = one[one != 0], other[other != 0]
        inputs = {"source": one[np.newaxis], "target": np.array([[BEGIN, *other[:-1]]])}
        scores = exported.model(inputs)[0].numpy().astype(np.float64)
        probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        assert nats[row] == pytest.approx(-np.log(probabilities[np.arange(len(other)), other]).sum(), rel=1e-5)


def test_the_score_of_a_translation_is_what_it_costs_on_average(exported, texts):
    source = exported.signatures["encode"](text=tf.constant(texts))["tokens"]
    answers = exported.signatures["translate"](source=source)
    nats = exported.signatures["score"](source=source, target=answers["tokens"])["nats"]
    lengths = np.count_nonzero(answers["tokens"], axis=1)
    assert answers["scores"].numpy() == pytest.approx(-nats.numpy() / lengths, abs=1e-5)


def test_texts_are_cut_in_the_graph_as_sentencepiece_cuts_them(django, subwords):
    characters, numbers = [*sorted(set("".join(django.pairs("train").source))), *"日Ж▁ \u00a0"], random.Random(0)
    made = ["".join(numbers.choices(characters, k=numbers.randrange(30))) for _ in range(200)]
    every = [*django.pairs("test").source, *django.pairs("test").target, *ODD_TEXTS, *made]
    ids = GraphSubwords(subwords).encode(tf.constant(every)).numpy()
    assert [row[row != 0].tolist() for row in ids] == [[*row, END] for row in subwords.encode(every)]


def test_ids_are_joined_in_the_graph_as_sentencepiece_joins_them(subwords):
    (blank, *_), _ = subwords.encode(["?", ""])  # in front of every word
    random_ids = np.random.default_rng(0).integers(3, len(subwords), (500, 8))
    random_ids[np.random.default_rng(1).random(random_ids.shape) < 0.2] = blank
    random_ids[:, 6] = END
    random_ids[:, 7:] = 0
    texts = GraphSubwords(subwords).decode(tf.constant(random_ids, tf.int32)).numpy()
    assert [text.decode() for text in texts] == [subwords.decode(row) for row in random_ids]


def test_what_was_written_is_close_to_the_live_model(exported):
    assert exported.of(exported.model).check(exported.path) < 1e-6


def test_a_model_that_translates_otherwise_is_refused(exported, subwords):
    with pytest.raises(RunError, match="translates differently from the live one: nothing was exported"):
        exported.of(build(subwords, seed=2)).check(exported.path)


def test_a_model_of_other_probabilities_is_refused(exported, subwords):
    other = build(subwords)
    norm = other.get_layer("decoder0_fold_norm")
    for weight in norm.weights:
        weight.assign(1.001 * weight)  # which makes likely symbols likelier, and those the same
    with pytest.raises(RunError, match="differs from the live one by .*: nothing was exported"):
        exported.of(other).check(exported.path)


def test_a_model_that_is_not_finite_is_refused(exported, subwords):
    broken = build(subwords)
    norm = broken.get_layer("decoder0_fold_norm")
    norm.beta.assign(tf.fill(norm.beta.shape, np.nan))
    with pytest.raises(RunError, match="diverged .its scores are NaN.*nothing was exported.*learning rate") as error:
        exported.of(broken).check(exported.path)
    assert "\n" not in str(error.value)


def test_it_loads_with_tensorflow_alone(exported, texts, tmp_path):
    script = """
import json, sys
sys.modules.update(keras=None, sentencepiece=None)  # importing them is an error
import tensorflow as tf
served = tf.saved_model.load(sys.argv[1]).signatures
answers = served["serving_default"](text=tf.constant(json.loads(sys.argv[2])))
source = served["encode"](text=tf.constant(["Hallo"]))["tokens"]
nats = served["score"](source=source, target=served["translate"](source=source)["tokens"])["nats"]
ours = [name for name in sys.modules if name.split(".")[0] in ("trainers", "tf_models", "flags")]
print(json.dumps([[text.decode() for text in answers["translation"].numpy()], float(nats[0]), ours]))
"""
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    moved = tmp_path / "moved"
    exported.path.rename(moved)  # what it reads lies beside it
    try:
        line = [sys.executable, "-c", script, str(moved), json.dumps(texts)]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, env=env, check=True)
    finally:
        moved.rename(exported.path)
    translations, nats, ours = json.loads(done.stdout)
    assert translations == [text.decode() for text in exported.answers(*texts)["translation"]]
    assert np.isfinite(nats) and ours == []


def test_a_finished_run_is_exported(tmp_path, capsys):
    folder = leave_a_run(tmp_path / "run")
    assert main(["main", "--mode=export", f"--model_dir={folder}", *ONE_CPU]) == 0
    assert capsys.readouterr().out.startswith(f"{folder / 'saved_model'}: written; differs from the live model by")
    subwords = vocabulary.Subwords((folder / "saved_model" / "assets.extra" / "vocabulary.model").read_bytes())
    words = subwords.decode(range(4, 9))
    served = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    decoder = Decoder(build(subwords), max_length=longest_translation(20), begin=BEGIN, end=END)
    tokens, _ = decoder.decode(token_batches.padded_sources([words], subwords))
    assert served(text=tf.constant([words]))["tokens"].numpy().tolist() == tokens.numpy().tolist()

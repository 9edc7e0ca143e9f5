"""Lines are translated as if each were alone, come out in order, and are safe to look at."""

import io
import random
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

import tf_models
from flags.data import Sentences
from flags.errors import RunError, UserError
from flags.run import parse
from tests.trainers.opening import open_pairs
from trainers.main import main
from trainers.run.export import write_keras_model
from trainers.session import open_session
from trainers.tasks.translation import vocabulary
from trainers.tasks.translation.decoding import Decoder
from trainers.tasks.translation.token_batches import padded_sources
from trainers.tasks.translation.translating import Translator, translate
from trainers.tasks.translation.vocabulary import BEGIN, END

ONE_CPU = ("--strategy=one_device", "--devices=cpu:0")
TINY = (
    "--experiment=dd_transformer_iwslt14", "--data=synthetic", "--set=data.vocabulary=100", "--set=data.max_length=20",
)  # fmt: skip


def build(subwords, seed=5):
    """A small model whose answers differ from source to source: made, not trained."""
    model = tf_models.build_model("transformer", num_classes=len(subwords), d_model=16, layers=1, heads=2)
    numbers = np.random.default_rng(seed)
    for weight in model.weights:
        noise = numbers.normal(size=weight.shape)
        is_matrix = len(weight.shape) == 2
        weight.assign(noise / 4 if is_matrix else noise / 10 + weight.path.endswith("gamma"))
    embeddings = model.get_layer("target_embedding").embeddings
    # Texts end by themselves, where one feature is large.
    embeddings.assign(tf.tensor_scatter_nd_update(embeddings, [[END]], 3.2 * tf.eye(16)[3:4]))
    return model


def leave_a_run(folder):
    """Leaves in a folder what a finished run would, of such a model."""
    session = open_session(parse(["main", f"--model_dir={folder}", *TINY, *ONE_CPU]))
    folder.mkdir()
    session.folder.write_assets(session.task.assets())
    write_keras_model(build(session.task.subwords), session.folder.keras_model)
    session.folder.claim(session.recipe, session.settings)
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """German messages of Django's, of several lengths."""
    pairs = open_pairs("django_de_en", tmp_path_factory.mktemp("tfds")).pairs("train")
    return sorted(pairs.source, key=len)[100:600:40]


@pytest.fixture(scope="module")
def subwords(texts):
    return vocabulary.learn(texts, 200)


@pytest.fixture(scope="module")
def model(subwords):
    return build(subwords)


@pytest.fixture(scope="module", params=[1, 3], ids="beam{}".format)
def translator(request, model, subwords):
    return Translator(model, subwords, beam=request.param)


@pytest.fixture(scope="module")
def greedy(model, subwords):
    return Translator(model, subwords, beam=1)


def test_a_text_is_translated_as_if_it_were_alone_and_in_its_place(translator, texts):
    together = translator.translate(texts)
    assert len(set(together)) > len(set(texts)) / 2
    assert together == [translator.translate([text])[0] for text in texts]
    order = random.Random(0).sample(range(len(texts)), len(texts))
    assert translator.translate([texts[i] for i in order]) == [together[i] for i in order]


def test_a_search_of_each_length_is_traced_once(translator, subwords, texts):
    for some in (texts, texts[:7], texts[::2]):
        translator.translate(some)
    assert min(map(len, subwords.encode(texts))) <= 4 < 5 <= max(map(len, subwords.encode(texts))) <= 36
    assert translator.traces == 2


def test_batches_are_bounded(translator, texts, monkeypatch):
    translations, sizes, decode = translator.translate(texts), [], Decoder.decode

    def noted(self, source):
        sizes.append(source.shape)
        return decode(self, source)

    monkeypatch.setattr("trainers.tasks.translation.translating.POSITIONS", 100)
    monkeypatch.setattr(Decoder, "decode", noted)
    assert translator.translate(texts) == translations
    assert all(rows == 1 or rows * time <= 100 for rows, time in sizes)
    assert len(texts) > len(sizes) > translator.traces and sum(rows for rows, _ in sizes) == len(texts)


def test_one_beam_is_the_greedy_search(model, subwords, texts):
    short = [text for text, ids in zip(texts, subwords.encode(texts)) if len(ids) <= 4][:5]
    greedy = Decoder(model, max_length=16, begin=BEGIN, end=END).decode(padded_sources(short, subwords))[0]
    assert Translator(model, subwords, beam=1).translate(short) == [subwords.decode(ids) for ids in greedy.numpy()]


def test_nothing_but_blanks_has_an_empty_translation(translator, texts):
    assert translator.translate([]) == [] and translator.translate(["", " \t"]) == ["", ""]
    assert translator.translate(["", texts[0], " "]) == ["", *translator.translate(texts[:1]), ""]


@pytest.mark.parametrize("length, longest", [(1, 16), (4, 16), (5, 64), (36, 64), (37, 256)])
def test_translations_that_would_not_end_are_cut(subwords, length, longest):
    endless = build(subwords)
    norm = endless.get_layer("decoder0_fold_norm")
    embeddings = endless.get_layer("target_embedding").embeddings
    norm.gamma.assign(tf.zeros_like(norm.gamma))
    norm.beta.assign(-100 * embeddings[END])  # the end is the least likely symbol, another one always the likeliest
    likeliest = 1 + int(np.argmax((embeddings @ tf.reshape(norm.beta, [-1, 1]))[1:]))
    words = (subwords.decode([i]) for i in range(4, len(subwords)))
    text = " ".join([next(word for word in words if len(subwords.encode([word])[0]) == 1)] * length)
    for max_length, most in ((None, longest), (3, 3), (1000, longest)):
        (translated,) = Translator(endless, subwords, beam=1, max_length=max_length).translate([text])
        assert translated == subwords.decode([likeliest] * (most - 1))


def test_another_vocabulary_than_the_models_is_refused(model, subwords, texts):
    other = vocabulary.learn(texts, len(subwords) - 10)
    with pytest.raises(UserError, match=f"has {len(other)} subwords, the model {len(subwords)}"):
        Translator(model, other, beam=1)


def test_a_model_that_is_not_finite_ends_in_one_line(subwords, texts):
    broken = build(subwords)
    norm = broken.get_layer("decoder0_fold_norm")
    norm.beta.assign(tf.fill(norm.beta.shape, np.nan))
    with pytest.raises(RunError, match="diverged .its scores are NaN or infinite.*learning rate") as error:
        Translator(broken, subwords, beam=1).translate(texts[:2])
    assert "\n" not in str(error.value)


def test_a_model_on_several_replicas_writes_the_translations_of_one(two_replicas, model, subwords, texts):
    with two_replicas.scope():
        replicated = build(subwords)
    translations = [Translator(each, subwords, beam=2).translate(texts[:3]) for each in (replicated, model)]
    assert translations[0] == translations[1]


@pytest.fixture
def printed(model, subwords, capsys):
    """A function of a prompt: what translating it prints on stdout and stderr."""

    def run(prompt, quiet=False):
        recipe = types.SimpleNamespace(data=Sentences(name="django_de_en"))
        task = types.SimpleNamespace(recipe=recipe, subwords=subwords)
        translate(types.SimpleNamespace(prompt=prompt, quiet=quiet), task, model, "cpu:0")
        return capsys.readouterr()

    return run


def lines_of(*translations):
    return "".join(f"{translation}\n" for translation in translations)


@pytest.mark.parametrize("ending", ["", "\n"])
def test_every_line_of_the_prompt_has_a_line(printed, greedy, texts, ending):
    text, notes = printed(f"{texts[0]}\n\n{texts[1]}{ending}")
    first, second = greedy.translate(texts[:2])
    assert text == lines_of(first, "", second)
    assert notes.startswith("3 sentences, ") and notes.endswith(" sentences per second\n")


def test_an_empty_prompt_has_an_empty_line(printed):
    assert printed("", quiet=True) == ("\n", "")


class Pipe(io.BytesIO):
    """Stdin in which one piece after another comes; notes what was printed before each."""

    def __init__(self, pieces, seen):
        super().__init__()
        self._pieces, self._seen = list(pieces), seen

    def read1(self, size=-1):
        self._seen.append(sys.stdout.getvalue())
        return self._pieces.pop(0) if self._pieces else b""


def test_lines_of_stdin_are_translated_as_they_come(printed, greedy, texts, monkeypatch):
    first, second = greedy.translate(texts[:2])
    content, seen = [text.encode() for text in texts[:2]], []
    pieces = [content[0] + b"\n\n" + content[1][:4], content[1][4:], b"\r\n", content[0]]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Pipe(pieces, seen)))
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    printed("-")
    assert seen == ["", lines_of(first, ""), lines_of(first, ""), *[lines_of(first, "", second)] * 2]
    assert sys.stdout.getvalue() == lines_of(first, "", second, first)


def test_what_is_not_utf_8_is_read_as_unknown(printed, greedy, texts, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff " + texts[0].encode() + b"\n")))
    (wanted,) = greedy.translate([f"\ufffd {texts[0]}"])
    assert printed("-").out == lines_of(wanted)
    assert printed(f"\udcff {texts[0]}").out == lines_of(wanted)


def test_control_characters_of_a_translation_do_not_reach_the_terminal(printed, monkeypatch):
    monkeypatch.setattr(Translator, "translate", lambda self, texts: [f"\x1b[2J{text}" for text in texts])
    assert printed("a\nb").out == "\\x1b[2Ja\n\\x1b[2Jb\n"


def test_ctrl_c_ends_it_early_and_well(printed, greedy, texts, monkeypatch):
    class Impatient(Pipe):
        def read1(self, size=-1):
            if not self._pieces:
                raise KeyboardInterrupt
            return super().read1(size)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Impatient([texts[0].encode() + b"\nand"], [])))
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    _, notes = printed("-")
    assert sys.stdout.getvalue() == lines_of(*greedy.translate(texts[:1])) and notes.startswith("1 sentences, ")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder that a finished run would leave, of a model that was made, not trained."""
    return leave_a_run(tmp_path_factory.mktemp("runs") / "translation")


@pytest.fixture
def generate(finished, capsys):
    """Runs the mode; returns status, stdout and stderr."""

    def run(*arguments):
        status = main(["main", "--mode=generate", f"--model_dir={finished}", *arguments, *ONE_CPU])
        return status, *capsys.readouterr()

    return run


@pytest.mark.parametrize("beam", [1, 3])
def test_a_finished_run_translates_with_the_beam_that_is_asked_for(finished, generate, beam):
    subwords = vocabulary.Subwords((finished / "vocabulary.model").read_bytes())
    words = subwords.decode(range(4, 9))
    wanted = Translator(build(subwords), subwords, beam=beam).translate([words])
    status, text, notes = generate(f"--prompt={words}", f"--set=data.beam={beam}")
    assert wanted != [""]
    assert (status, text) == (0, lines_of(*wanted)) and "1 sentences, " in notes


@pytest.mark.parametrize("flag", ["--length=5", "--temperature=1", "--top_k=2", "--top_p=0.5"])
def test_flags_that_draw_a_text_are_refused_by_name(generate, flag):
    status, text, error = generate("--prompt=a", flag)
    assert (status, text) == (2, "") and error.count("\n") == 1
    assert error.startswith(f"{flag.partition('=')[0]} has no effect") and "--set=data.beam" in error


def test_without_a_prompt_it_says_what_is_missing(generate):
    status, text, error = generate()
    assert (status, text) == (2, "") and error.startswith("--mode=generate: --prompt is missing.")
    assert error.count("\n") == 1

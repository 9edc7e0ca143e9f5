"""`--mode=generate`: the text goes on as asked, and is safe to look at."""

import io
import sys

import numpy as np
import pytest

from flags.run import parse
from trainers.main import main
from trainers.run.export import write_keras_model
from trainers.run.screen import Screen
from trainers.session import open_session
from trainers.tasks.text.writing import AT_ONCE

ONE_CPU = ("--strategy=one_device", "--devices=cpu:0")
LETTERS = b"abcdefgh"
WORDS = "the cat saw the dog \n <unk> saw the cat \n"
TINY = (
    "--set=model.width=8", "--set=model.boom_width=16", "--set=model.num_layers=1", "--set=model.attention_layers=0",
    "--set=model.memory_size=12", "--set=data.segment_length=8",
)  # fmt: skip


def leave_a_run(folder, *arguments, writes=None, others=-100.0):
    """Leaves in a folder what a finished run would, of a model that was made, not trained.

    If it `writes` some symbols only, the others have a score of `others`.
    """
    session = open_session(parse(["main", f"--model_dir={folder}", *arguments, *TINY, *ONE_CPU]))
    model, random = session.task.build_model(), np.random.default_rng(2)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.7, weight.shape))
    if writes:
        allowed = np.isin(session.task.dataset.symbols, writes)
        bias = model.get_layer("embedding").bias
        bias.assign(np.where(allowed, bias, others))
    session.folder.path.mkdir(parents=True, exist_ok=True)
    write_keras_model(model, session.folder.keras_model)
    session.folder.claim(session.recipe, session.settings)
    return folder


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory):
    """A run whose model writes the letters a to h."""
    folder = tmp_path_factory.mktemp("runs") / "bytes"
    letters = [bytes([letter]) for letter in LETTERS]
    return leave_a_run(folder, "--experiment=sha_rnn_enwik8", "--data=synthetic", writes=letters)


@pytest.fixture(scope="module")
def of_words(tmp_path_factory, wikitext2_of):
    """A run on a `wikitext2` of six words, and the folder of that text."""
    data_dir = wikitext2_of(*[WORDS * 40] * 3)
    arguments = ("--experiment=sha_rnn_wikitext2", "--data=paper", f"--data_dir={data_dir}")
    return leave_a_run(tmp_path_factory.mktemp("runs") / "words", *arguments), data_dir


@pytest.fixture
def write(of_bytes, capsys):
    """Runs the mode; returns status, stdout and stderr."""

    def run(*arguments, folder=of_bytes):
        status = main(["main", "--mode=generate", f"--model_dir={folder}", *arguments, *ONE_CPU])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def screen(monkeypatch):
    """A function of pieces of bytes: what they look like on stdout."""

    def shown(*pieces, encoding="utf-8"):
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding, newline=""))
        screen = Screen()
        for piece in pieces:
            screen.print(piece)
        screen.end()
        return raw.getvalue().decode(encoding)

    return shown


def test_the_prompt_comes_first_then_as_many_bytes_as_asked(write):
    status, text, notes = write("--prompt=Abc é", f"--length={2 * AT_ONCE + 3}")
    assert status == 0 and text.startswith("Abc é") and text.endswith("\n")
    written = text.removeprefix("Abc é").removesuffix("\n")
    assert len(written) == 2 * AT_ONCE + 3 and set(written.encode()) <= set(LETTERS)
    assert notes.startswith(f"{2 * AT_ONCE + 3} bytes, ") and notes.endswith(" bytes per second\n")


def test_the_same_seed_writes_the_same_text(write):
    texts = [write("--prompt=x", "--length=50", f"--seed={seed}")[1] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("greedy", ["--temperature=1e-9", "--top_p=1e-9"])
def test_how_it_is_drawn_can_be_chosen(write, greedy):
    likeliest = write("--prompt=x", "--length=50", "--top_k=1", "--quiet")
    assert write("--prompt=x", "--length=50", greedy, "--quiet") == likeliest
    assert likeliest[2] == ""


def test_without_a_prompt_the_text_begins_after_a_line_break(write):
    text = write("--length=20")[1]
    assert text[0] == "\n" and len(text) == 22


def test_the_prompt_is_read_from_stdin_as_bytes(write, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xc3\xa9 \xff")))
    status, text, _ = write("--prompt=-", "--length=3")
    assert status == 0 and text.startswith("café \\xff") and len(text) == len("café \\xff") + 4


def test_a_prompt_longer_than_memory_is_read(write):
    status, text, _ = write(f"--prompt={'abc ' * 20}", "--length=3")
    assert status == 0 and len(text) == 84


def test_words_are_written_apart(of_words, write):
    folder, data_dir = of_words
    status, text, notes = write("--prompt=the  dog", "--length=30", f"--data_dir={data_dir}", folder=folder)
    assert status == 0 and text.startswith("the dog ") and notes.startswith("30 words, ")
    words = text.replace("\n", " <eos> ").split()
    assert set(words) <= {*WORDS.split(), "<eos>"}
    assert len(words) in (32, 33)  # the last line may have been ended for the screen alone


def test_a_prompt_without_words_is_a_line_break(of_words, write):
    folder, data_dir = of_words
    status, text, _ = write("--prompt= ", "--length=1", f"--data_dir={data_dir}", folder=folder)
    assert status == 0 and text[0] == "\n"


def test_a_word_that_is_none_is_named(of_words, write):
    folder, data_dir = of_words
    status, text, error = write("--prompt=the horse", f"--data_dir={data_dir}", folder=folder)
    assert (status, text) == (2, "") and "'horse', word 2 of 2" in error and error.count("\n") == 1


def test_ctrl_c_ends_the_text_early_and_well(write, monkeypatch):
    class Impatient(io.StringIO):
        """Where the user presses Ctrl-C at the third piece, the prompt being the first."""

        pieces = 0

        def write(self, text):
            self.pieces += bool(text)
            if text and self.pieces == 3:
                raise KeyboardInterrupt
            return super().write(text)

    monkeypatch.setattr(sys, "stdout", Impatient())
    status, _, notes = write("--prompt=x", "--length=1000")
    assert status == 0 and notes.startswith(f"{AT_ONCE} bytes, ")
    text = sys.stdout.getvalue()
    assert len(text) == 1 + AT_ONCE + 1 and text.endswith("\n")


def test_a_model_whose_weights_are_not_finite_ends_in_one_line(write, tmp_path):
    arguments = ("--experiment=sha_rnn_enwik8", "--data=synthetic")
    folder = leave_a_run(tmp_path / "run", *arguments, writes=[b"a"], others=np.nan)
    status, _, error = write("--length=5", folder=folder)
    assert status == 1 and "its scores are NaN or infinite" in error and error.count("\n") == 1


def test_a_character_is_shown_when_it_is_whole(screen):
    assert screen(b"caf\xc3", b"\xa9\xe2\x82", b"\xac") == "café€\n"


def test_what_is_no_text_is_shown_as_numbers(screen):
    assert screen(b"a\xff", b"b\xc3", b"c\xe2\x82") == "a\\xffb\\xc3c\\xe2\\x82\n"


def test_control_characters_do_not_reach_the_terminal(screen):
    assert screen(b"\x1b[2J\r\x00\x07\x7f", "\x9b1m".encode()) == "\\x1b[2J\\x0d\\x00\\x07\\x7f\\x9b1m\n"
    assert screen(b"a\tb\nc") == "a\tb\nc\n"


def test_what_stdout_cannot_encode_is_shown_as_numbers(screen):
    assert screen("é€".encode(), encoding="latin-1") == "é\\u20ac\n"


def test_the_last_line_ends_once(screen):
    assert screen(b"a\n") == "a\n" and screen(b"a\n", b"b") == "a\nb\n" and screen(b"a\n", b"\xc3") == "a\n\\xc3\n"

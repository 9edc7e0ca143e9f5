"""Symbols are numbered as in the author's code, from the training part alone, and stand for the bytes of the files."""

import zlib

import numpy as np
import pytest

from flags.errors import UserError
from tests.trainers.opening import open_images, open_text
from trainers.data.builders.byte_records import SPLITS
from trainers.data.builders.enwik8 import Enwik8
from trainers.data.sources import Source
from trainers.tasks.text import data as text

# Counts: line break 3; a, b, blank and c 2 each; the others 1. Those with one count are in order of appearance.
EXAMPLE = b"ab\n\n  c\r\nabc\x0bd\x00\xff\x1c\x85"
EXAMPLE_ORDER = [10, 97, 98, 32, 99, 13, 11, 100, 0, 255, 28, 133]
TRAIN = " \n = Robert <unk> = \n \n Robert is an actor . \n"
VALIDATION = "an actor is \n Robert"  # no line break at its end
TEST = "a word is a word , an actor \n"


def message(error):
    """The text of a caught UserError, which must be one line."""
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def enwik8(tmp_path, monkeypatch):
    """Makes an `enwik8` of three given parts and opens it."""

    def make(train, validation, test):
        monkeypatch.setattr(Enwik8, "NUM_TOKENS", dict(zip(SPLITS, map(len, (train, validation, test)))))
        manual = tmp_path / "downloads" / "manual"
        manual.mkdir(parents=True)
        (manual / "enwik8").write_bytes(train + validation + test)
        Source("enwik8", tmp_path).prepare()
        return open_text("enwik8", tmp_path)

    return make


@pytest.fixture(scope="module")
def wikitext_dir(wikitext2_of):
    """A TFDS folder in which a `wikitext2` of a few words is prepared."""
    return wikitext2_of(TRAIN, VALIDATION, TEST)


@pytest.fixture(scope="module")
def wikitext2(wikitext_dir):
    return open_text("wikitext2", wikitext_dir)


@pytest.fixture(scope="module")
def made_up():
    return text.open_synthetic(seed=0, num_train=1 << 16, num_test=1 << 12)


def test_bytes_are_numbered_by_falling_frequency_and_ties_by_first_appearance(enwik8):
    data = enwik8(EXAMPLE, b"cab", b"\n")
    assert data.unit == "byte" and data.num_classes == 12
    assert data.symbols == tuple(bytes([byte]) for byte in EXAMPLE_ORDER)


def test_the_ids_of_a_split_are_its_bytes_in_file_order_with_nothing_added(enwik8):
    data = enwik8(EXAMPLE, b"cab", b"\n")
    assert data.tokens("train").dtype == np.uint8
    assert data.tokens("train").tolist() == [EXAMPLE_ORDER.index(byte) for byte in EXAMPLE]
    assert data.tokens("validation").tolist() == [4, 1, 2]
    assert data.tokens("test").tolist() == [0]


def test_a_byte_that_training_lacks_is_refused_in_another_split(enwik8):
    data = enwik8(EXAMPLE, b"ab\x1f", b"\n")
    with pytest.raises(UserError) as error:
        data.tokens("train")
    assert "split 'validation': byte 0x1F at position 2 does not occur in the training split" in message(error)


def test_a_made_up_text_can_spell_every_byte(made_up):
    assert sorted(made_up.symbols) == [bytes([byte]) for byte in range(256)]
    every = bytes(range(256))
    assert made_up.decode(made_up.encode(every)) == every


def test_bytes_that_a_made_up_text_lacks_come_last_in_numeric_order(made_up):
    seen = len(set(made_up.text("train")))
    unseen = [symbol for symbol in made_up.symbols if symbol not in made_up.text("train")]
    assert list(made_up.symbols[seen:]) == unseen == sorted(unseen)
    assert made_up.symbols[0] == b" "


def test_a_made_up_text_is_the_seed_s_and_has_structure(made_up):
    train = made_up.text("train")
    assert train == text.open_synthetic(seed=0, num_train=1 << 16, num_test=1 << 12).text("train")
    assert train != text.open_synthetic(seed=1, num_train=1 << 16, num_test=1 << 12).text("train")
    assert len(zlib.compress(train)) < len(train) / 2
    assert [made_up.num_tokens(split) for split in SPLITS] == [1 << 16, 1 << 12, 1 << 12]
    assert made_up.text("validation") != made_up.text("test")


def test_tokens_are_made_once(made_up):
    assert np.shares_memory(made_up.tokens("train"), made_up.tokens("train"))


@pytest.mark.parametrize(
    "split, begin, end", [("train[:10%]", 0, 6554), ("train[100:]", 100, 1 << 16), ("train[-5:]", -5, None)]
)
def test_a_part_of_a_split_counts_in_symbols(made_up, split, begin, end):
    whole = made_up.text("train")
    assert made_up.text(split) == whole[begin:end]
    assert made_up.decode(made_up.tokens(split)) == whole[begin:end]
    assert made_up.num_tokens(split) == len(whole[begin:end])


def test_splits_can_be_added(made_up):
    assert made_up.text("train+test") == made_up.text("train") + made_up.text("test")
    assert len(made_up.tokens("test[:3]+train[:2]")) == 5


@pytest.mark.parametrize("split", ["trian", "train[70000:]", "test[7:7]", "train["])
def test_a_split_that_is_not_there_is_answered_with_those_that_are(made_up, split):
    with pytest.raises(UserError) as error:
        made_up.tokens(split)
    assert split in message(error)
    assert "Splits (bytes): train (65,536), validation (4,096), test (4,096)" in message(error)


def test_words_are_numbered_by_falling_frequency_and_every_line_ends_in_eos(wikitext2):
    assert wikitext2.unit == "word"
    in_training = [b"<eos>", b"=", b"Robert", b"<unk>", b"is", b"an", b"actor", b"."]  # 4, 2, 2, and 1 each
    assert list(wikitext2.symbols[:8]) == in_training
    assert wikitext2.tokens("train").tolist() == [0, 1, 2, 3, 1, 0, 0, 2, 4, 5, 6, 7, 0]


def test_words_that_training_lacks_are_appended_in_order_of_appearance(wikitext2):
    assert list(wikitext2.symbols[8:]) == [b"a", b"word", b","]
    assert wikitext2.num_classes == 11
    assert wikitext2.tokens("test").tolist() == [8, 9, 4, 8, 9, 10, 5, 6, 0]


def test_a_last_line_without_a_break_ends_in_eos_too(wikitext2):
    assert wikitext2.tokens("validation").tolist() == [5, 6, 4, 0, 2, 0]


def test_a_word_level_text_is_its_bytes_and_a_part_of_it_its_words(wikitext2):
    assert wikitext2.text("train") == TRAIN.encode()
    assert wikitext2.text("train[5:9]") == b"\n\nRobert is "


def test_words_are_encoded_and_decoded(wikitext2):
    ids = wikitext2.encode(b"  Robert is\n\nan actor")
    assert ids.tolist() == [2, 4, 0, 0, 5, 6]
    assert wikitext2.decode(ids) == b"Robert is \n\nan actor "
    assert wikitext2.encode(wikitext2.decode(ids)).tolist() == ids.tolist()


@pytest.mark.parametrize("blank", ["\t", "\u00a0", "\u3000", "\x1c"])
def test_a_blank_is_what_python_takes_for_one(wikitext2, blank):
    assert wikitext2.encode(f"an{blank}actor".encode()).tolist() == [5, 6]


def test_an_unknown_word_is_named_with_its_place(wikitext2):
    with pytest.raises(UserError) as error:
        wikitext2.encode(b"Robert is\nan engineer .")
    assert "'engineer', word 5 of 6, is not among the 11 words of wikitext2" in message(error)
    assert "Write <unk> instead" in message(error)


def test_an_unknown_byte_is_named_with_its_place(enwik8):
    with pytest.raises(UserError) as error:
        enwik8(EXAMPLE, b"cab", b"\n").encode(b"ab\xe9")
    assert "the given text: byte 0xE9 at position 2" in message(error)


def test_ids_of_more_symbols_than_a_byte_holds_are_int32(wikitext2_of):
    words = " ".join(f"w{number}" for number in range(300))
    data = open_text("wikitext2", wikitext2_of(words, "w7", "w299"))
    assert data.num_classes == 301
    assert data.tokens("test").dtype == np.int32 and data.tokens("test").tolist() == [299, 300]


def test_what_was_made_of_words_is_kept_beside_the_data(wikitext_dir, wikitext2, monkeypatch):
    monkeypatch.setattr(text, "_learn_words", None)
    wikitext2.tokens("train")
    again = open_text("wikitext2", wikitext_dir)
    assert again.symbols == wikitext2.symbols
    for split in SPLITS:
        np.testing.assert_array_equal(again.tokens(split), wikitext2.tokens(split))
        assert again.tokens(split).dtype == wikitext2.tokens(split).dtype


def cut(file):
    file.write_bytes(file.read_bytes()[:-40])


def flip_a_byte(file):
    content = file.read_bytes()
    middle = len(content) // 2
    file.write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])


def empty(file):
    file.write_bytes(b"")


def put_a_folder_in_its_place(file):
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("damage", [cut, flip_a_byte, empty, put_a_folder_in_its_place])
def test_kept_words_that_are_damaged_are_made_anew(wikitext_dir, wikitext2, damage):
    content = wikitext2.tokens("train")
    file = wikitext_dir / "wikitext2" / "1.0.0" / "tokens.npz"
    kept = file.read_bytes()
    damage(file)
    np.testing.assert_array_equal(open_text("wikitext2", wikitext_dir).tokens("train"), content)
    if file.is_dir():
        file.rmdir()
        file.write_bytes(kept)
    assert file.read_bytes() == kept


@pytest.mark.parametrize("name", ["cifar10", "coco/2017", "enwik9"])
def test_what_is_no_text_is_answered_with_the_texts(tmp_path, name):
    with pytest.raises(UserError) as error:
        open_text(name, tmp_path, download=True)
    assert f"data.name={name}: not a text" in message(error)
    assert "Texts: enwik8, wikitext103, wikitext2, wikipedia_sample, synthetic_text" in message(error)


def test_a_text_is_no_data_set_of_images_and_not_prepared_as_one(tmp_path):
    with pytest.raises(UserError) as error:
        open_images("wikipedia_sample", tmp_path)
    assert "data.name=wikipedia_sample: not a data set of labelled images" in message(error)
    assert list(tmp_path.iterdir()) == []


def test_a_published_text_is_known_without_having_it(tmp_path):
    enwik8 = text.declared_text(text.find("enwik8", tmp_path))
    assert (enwik8.unit, enwik8.num_classes) == ("byte", 205)
    assert [enwik8.num_tokens(split) for split in SPLITS] == [90_000_000, 5_000_000, 5_000_000]
    assert enwik8.num_tokens("train[:10%]") == 9_000_000
    assert text.declared_text(text.find("wikitext103", tmp_path)).num_classes == 267_735
    assert text.declared_text(text.find("wikitext2", tmp_path)).unit == "word"

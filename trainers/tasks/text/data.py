"""Texts for language models: one array of symbol ids per split, and the vocabulary.

A symbol is a byte (enwik8) or a word (WikiText). Ids are assigned by frequency in the training split, the most frequent
first; ties are resolved by first appearance. At byte level the line break takes the role of <eos> in the author's code,
so the streams of ids are the same.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import io
import itertools
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from flags.errors import UserError
from trainers.data import stream
from trainers.data.builders.byte_records import SPLITS
from trainers.data.builders.enwik8 import Enwik8
from trainers.data.builders.wikipedia_sample import WikipediaSample
from trainers.data.builders.wikitext import Wikitext2, Wikitext103
from trainers.data.sources import GeneratedSource, Source
from trainers.data.splits import open_split, parts_of
from trainers.run.files import replace_remote

TEXTS = {builder.name: builder for builder in (Enwik8, Wikitext103, Wikitext2, WikipediaSample)}
SYNTHETIC = "synthetic_text"
LINE_END = "<eos>"
CHUNK_BYTES = 1 << 20  # bytes counted at once: NumPy converts them to 8 bytes each

Read = Callable[[str], bytes]  # name of a whole split -> its bytes
Tokens = Mapping[str, np.ndarray]  # name of a whole split -> its ids


class Vocabulary(Protocol):
    """Numbers the symbols of a text."""

    symbols: tuple[bytes, ...]  # in the order of their ids

    def encode(self, text: bytes, where: str) -> np.ndarray:
        """The ids of a text. The UserError for an unknown symbol begins with `where`."""

    def decode(self, ids: Sequence[int]) -> bytes: ...


class TextDataSet:
    """A text with the splits `train`, `validation` and `test`, read lazily.

    Split expressions use TFDS's syntax, such as `train[:10%]` or `train[1000:]+validation`, in bytes or words. The
    vocabulary is that of the whole `train` split, even if only a part of it is used.

    Args:
        unit: "byte" or "word".
        learn: builds the vocabulary from the splits that `read` returns, and encodes them.
    """

    def __init__(self, name: str, unit: str, read: Read, learn: Callable[[str, Read], tuple[Vocabulary, Tokens]]):
        self.name = name
        self.unit = unit
        self._read = read
        self._learn = learn

    @functools.cached_property
    def _learnt(self) -> tuple[Vocabulary, Tokens]:
        return self._learn(self.name, self._read)

    @property
    def symbols(self) -> tuple[bytes, ...]:
        """Single bytes, or words in UTF-8 and `<eos>`, in the order of their ids."""
        return self._learnt[0].symbols

    @property
    def num_classes(self) -> int:
        return len(self.symbols)

    def num_tokens(self, split: str) -> int:
        """The number of symbols of a split.

        Raises:
            UserError: the split does not exist or is empty.
        """
        return sum(end - begin for _, begin, end in self._parts(split))

    def tokens(self, split: str) -> np.ndarray:
        """The ids of a split in file order: [symbols], uint8 if the vocabulary has at most 256 symbols, else int32.

        Raises:
            UserError: the split does not exist or is empty.
        """
        ids = self._learnt[1]
        parts = [ids[name][begin:end] for name, begin, end in self._parts(split)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def text(self, split: str) -> bytes:
        """The bytes of a split; at word level, those of a partial split are the output of `decode`.

        Raises:
            UserError: the split does not exist or is empty.
        """
        return b"".join(self._text(*part) for part in self._parts(split))

    def encode(self, text: bytes) -> np.ndarray:
        """The ids of a text: [symbols], with the dtype of `tokens`. Words are separated by whitespace.

        Raises:
            UserError: a byte or word is not in the vocabulary; the message names it and its position.
        """
        return self._learnt[0].encode(text, "the given text")

    def decode(self, ids: Sequence[int]) -> bytes:
        """The text of ids: their bytes, or their words, each followed by a space, with a line break for `<eos>`."""
        return self._learnt[0].decode(ids)

    def _parts(self, split: str) -> list[tuple[str, int, int]]:
        lengths = {name: len(ids) for name, ids in self._learnt[1].items()}
        return parts_of(lengths, split, self.name, self.unit)

    def _text(self, split: str, begin: int, end: int) -> bytes:
        ids = self._learnt[1][split]
        return self._read(split) if end - begin == len(ids) else self.decode(ids[begin:end])


@dataclasses.dataclass(frozen=True)
class DeclaredText:
    """The known properties of a text that need not be prepared; as in `TextDataSet`."""

    name: str
    unit: str
    num_classes: int
    _lengths: Mapping[str, int]

    def num_tokens(self, split: str) -> int:
        return sum(end - begin for _, begin, end in parts_of(self._lengths, split, self.name, self.unit))


def find(name: str, data_dir: str | os.PathLike | None = None) -> Source | GeneratedSource:
    """Returns the text called `name`.

    Raises:
        UserError: the text does not exist, or its description cannot be read.
    """
    if name == SYNTHETIC:
        return GeneratedSource(name)
    if re.split("[/:]", name)[0] not in TEXTS:
        known = ", ".join((*TEXTS, SYNTHETIC))
        raise UserError(f"data.name={name}: not a text, which this experiment needs. Texts: {known}")
    return Source(name, data_dir)


def open_text(source: Source | GeneratedSource, *, seed: int = 0) -> TextDataSet:
    """Opens the text of a prepared source.

    The vocabulary of enwik8 and WikiText consists of the symbols that occur. That of an embedded sample has all bytes;
    those that do not occur in training come last, in numeric order.

    Args:
        seed: seed of a synthetic text.
    """
    if isinstance(source, GeneratedSource):
        return open_synthetic(seed=seed)
    builder = source.builder
    unit = TEXTS[builder.name].UNIT
    if unit == "word":
        learn = functools.partial(_kept_words, os.path.join(builder.data_dir, "tokens.npz"))
    else:
        learn = functools.partial(_learn_bytes, complete=source.is_embedded)
    return TextDataSet(builder.info.full_name, unit, functools.partial(_read_split, builder), learn)


def declared_text(source: Source) -> DeclaredText:
    """The known properties of a published text (not the sample), prepared or not."""
    known = TEXTS[source.builder.name]
    return DeclaredText(source.builder.info.full_name, known.UNIT, known.NUM_SYMBOLS, known.NUM_TOKENS)


def open_synthetic(*, seed: int, num_train: int = 1 << 20, num_test: int = 1 << 16) -> TextDataSet:
    """A synthetic text: lines of random words, some of them frequent. Every byte is a symbol, as in the sample.

    Args:
        num_train: size of `train` in bytes.
        num_test: size of `test`, and of `validation`, in bytes.
    """
    text = _random_text(num_train + 2 * num_test, np.random.default_rng(seed))
    texts = {
        "train": text[:num_train],
        "validation": text[num_train : num_train + num_test],
        "test": text[num_train + num_test :],
    }
    return TextDataSet(SYNTHETIC, "byte", texts.__getitem__, functools.partial(_learn_bytes, complete=True))


class _Bytes:
    """A byte vocabulary: at most 256 symbols, so ids are bytes as well."""

    def __init__(self, name: str, symbols: Sequence[bytes]):
        self.symbols = tuple(symbols)
        self._name = name
        self._known = b"".join(symbols)
        ids = bytes(range(len(symbols)))
        self._id_of = bytes.maketrans(self._known, ids)
        self._byte_of = bytes.maketrans(ids, self._known)

    def encode(self, text: bytes, where: str) -> np.ndarray:
        if unknown := text.translate(None, self._known):
            raise UserError(
                f"{where}: byte 0x{unknown[0]:02X} at position {text.index(unknown[0])} does not occur in the training "
                f"split of {self._name}, so it is not among the {len(self.symbols)} symbols"
            )
        return np.frombuffer(text.translate(self._id_of), np.uint8)

    def decode(self, ids: Sequence[int]) -> bytes:
        return np.asarray(ids, np.uint8).tobytes().translate(self._byte_of)


class _Words:
    """A word vocabulary, with `<eos>` for the end of a line."""

    def __init__(self, name: str, symbols: Sequence[bytes]):
        self.symbols = tuple(symbols)
        self._name = name
        self._id_of = {symbol.decode("utf-8", "surrogateescape"): index for index, symbol in enumerate(symbols)}
        self._written = [b"\n" if symbol == LINE_END.encode() else symbol + b" " for symbol in symbols]

    def encode(self, text: bytes, where: str) -> np.ndarray:
        words = list(_words(text))
        try:
            ids = [self._id_of[word] for word in words]
        except KeyError as error:
            word = error.args[0]
            instead = ". Write <unk> instead" if "<unk>" in self._id_of else ""
            raise UserError(
                f"{where}: {word!r}, word {words.index(word) + 1} of {len(words)}, is not among the "
                f"{len(self.symbols):,} words of {self._name}{instead}"
            ) from error
        return np.array(ids, _id_type(len(self.symbols)))

    def decode(self, ids: Sequence[int]) -> bytes:
        return b"".join(self._written[index] for index in ids)


def _learn_bytes(name: str, read: Read, complete: bool) -> tuple[_Bytes, Tokens]:
    """Builds a byte vocabulary; if `complete`, bytes that do not occur in training come last, in numeric order."""
    texts = {split: read(split) for split in SPLITS}
    train = texts["train"]
    chunks = (train[begin : begin + CHUNK_BYTES] for begin in range(0, len(train), CHUNK_BYTES))
    counts = sum(np.bincount(np.frombuffer(chunk, np.uint8), minlength=256) for chunk in chunks)
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda byte: (-counts[byte], train.index(byte)))
    if complete:
        order += np.flatnonzero(counts == 0).tolist()
    vocabulary = _Bytes(name, [bytes([byte]) for byte in order])
    return vocabulary, {split: vocabulary.encode(text, f"split {split!r}") for split, text in texts.items()}


def _learn_words(name: str, read: Read) -> tuple[_Words, Tokens]:
    """Builds a word vocabulary; words that do not occur in training come last, by first appearance in other splits."""
    number = collections.defaultdict(itertools.count().__next__)  # by first appearance: `train` is the first split
    ids = {}
    for split in SPLITS:
        text = read(split)
        words = _words(text if text.endswith(b"\n") else text + b"\n")
        ids[split] = np.fromiter(map(number.__getitem__, words), np.int32)
    order = np.argsort(-np.bincount(ids["train"], minlength=len(number)), kind="stable")
    ranks = np.empty(len(number), _id_type(len(number)))
    ranks[order] = np.arange(len(number))
    words = list(number)
    vocabulary = _Words(name, [words[index].encode("utf-8", "surrogateescape") for index in order])
    return vocabulary, {split: ranks[array] for split, array in ids.items()}


def _kept_words(path: str, name: str, read: Read) -> tuple[_Words, Tokens]:
    """`_learn_words`, cached in a file, because it takes half a minute for WikiText-103.

    If the file is damaged or the folder is not writable, the vocabulary is built again.
    """
    with contextlib.suppress(tf.errors.OpError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        with tf.io.gfile.GFile(path, "rb") as file:
            kept = np.load(io.BytesIO(file.read()), allow_pickle=False)
        ids = {split: kept[split] for split in SPLITS}
        return _Words(name, kept["symbols"].tobytes().split(b"\n")), ids
    vocabulary, ids = _learn_words(name, read)
    content = io.BytesIO()
    np.savez(content, symbols=np.frombuffer(b"\n".join(vocabulary.symbols), np.uint8), **ids)
    with contextlib.suppress(tf.errors.OpError):
        replace_remote(path, content.getvalue())
    return vocabulary, ids


def _words(text: bytes) -> Iterator[str]:
    """The words of every line, and <eos> for every line break; whitespace and line breaks as in Python's text files."""
    lines = io.TextIOWrapper(io.BytesIO(text), "utf-8", "surrogateescape")
    return itertools.chain.from_iterable(
        (*line.split(), LINE_END) if line.endswith("\n") else line.split() for line in lines
    )


def _id_type(num_symbols: int) -> type:
    return np.uint8 if num_symbols <= 256 else np.int32


def _read_split(builder: tfds.core.DatasetBuilder, split: str) -> bytes:
    records = open_split(builder, split, {"text": ("text", tf.string)})
    return b"".join(example["text"] for example in stream.examples(records).as_numpy_iterator())


def _random_text(size: int, random: np.random.Generator) -> bytes:
    """Lines of twelve words out of a thousand, the k-th most frequent with probability proportional to 1/k."""
    letters = random.integers(ord("a"), ord("z") + 1, (1000, 8), np.uint8)
    words = [row[:length].tobytes() for row, length in zip(letters, random.integers(1, 9, 1000))]
    shares = 1 / np.arange(1, 1001)
    chosen = random.choice(1000, size // 2, p=shares / shares.sum())  # a word and its space take at least 2 bytes
    ends = itertools.cycle([b" "] * 11 + [b"\n"])
    return b"".join(words[index] + end for index, end in zip(chosen, ends))[:size]

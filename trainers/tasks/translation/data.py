"""Sentence pairs of source and translation: whole splits, or random subsets."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from flags.errors import UserError
from trainers.data import stream
from trainers.data.builders.django_catalogues import DjangoDeEn
from trainers.data.builders.iwslt14 import Iwslt14DeEn
from trainers.data.in_memory import SUBSET
from trainers.data.sources import GeneratedSource, Source
from trainers.data.splits import check_num_train, parts_of

# Data set and configuration -> its source and target features.
TRANSLATIONS = {
    Iwslt14DeEn.name: ("source", "target"),
    DjangoDeEn.name: ("source", "target"),
    "wmt14_translate/fr-en": ("en", "fr"),  # the paper translates into French
}
SYNTHETIC = "synthetic_pairs"
BLOCK = 4096  # records read at once


class Pairs(NamedTuple):
    """Parallel lists of sentences and their translations."""

    source: tuple[str, ...]
    target: tuple[str, ...]


class TranslationDataSet:
    """A data set of sentence pairs, with the splits `train`, `validation` and `test`.

    Args:
        split: opens a split in TFDS's syntax, such as `train[:10%]`; its records have `source` and `target` (bytes).
    """

    def __init__(self, name: str, split: Callable[[str], stream.Records]):
        self.name = name
        self._split = split

    def num_pairs(self, split: str) -> int:
        """The number of pairs of a split.

        Raises:
            UserError: the split does not exist or is empty.
        """
        return self._split(split).num_examples

    def pairs(self, split: str, *, num_train: int | None = None, subset_seed: int = 0) -> Pairs:
        """The pairs of a split in file order, or the first `num_train` of a random order seeded by `subset_seed`.

        No pair is drawn twice; for one seed, a smaller subset is the beginning of a larger one.

        Raises:
            UserError: the split does not exist, or has fewer pairs than `num_train`.
        """
        records = self._split(split)
        if num_train is None:
            return _read(records, np.arange(records.num_examples))
        check_num_train(num_train, records.num_examples, split=split, name=self.name, unit="pair")
        order = np.random.default_rng([SUBSET, subset_seed]).permutation(records.num_examples)[:num_train]
        return _read(records, order)


def find(name: str, data_dir: str | os.PathLike | None = None) -> Source | GeneratedSource:
    """Returns the data set of pairs called `name`.

    Raises:
        UserError: the data set does not exist, or its description cannot be read.
    """
    if name == SYNTHETIC:
        return GeneratedSource(name)
    if name.partition(":")[0] not in TRANSLATIONS:
        known = ", ".join((*TRANSLATIONS, SYNTHETIC))
        raise UserError(f"data.name={name}: not a translation data set, which this experiment needs. Pairs: {known}")
    return Source(name, data_dir)


def open_pairs(source: Source | GeneratedSource, *, seed: int = 0) -> TranslationDataSet:
    """The pairs of a source, prepared or not.

    Args:
        seed: seed of synthetic pairs.
    """
    if isinstance(source, GeneratedSource):
        return open_synthetic(seed=seed)
    full_name = source.builder.info.full_name
    sides = zip(("source", "target"), TRANSLATIONS[full_name.rpartition("/")[0]])
    features = {side: (feature, tf.string) for side, feature in sides}
    return TranslationDataSet(full_name, lambda expression: source.split(expression, features))


def open_synthetic(*, seed: int, num_train: int = 10_000, num_test: int = 500) -> TranslationDataSet:
    """Synthetic sentences of 1 to 12 words out of fifty; the translation has a word for each, in reverse order.

    Args:
        num_test: number of pairs of `test`, and of `validation`.
    """
    lines = _random_lines(num_train + 2 * num_test, np.random.default_rng(seed))
    train, validation, test = np.split(lines, [num_train, num_train + num_test])
    parts = {"train": train, "validation": validation, "test": test}
    lengths = {name: len(part) for name, part in parts.items()}

    def split(expression: str) -> SyntheticSplit:
        chosen = [parts[name][begin:end] for name, begin, end in parts_of(lengths, expression, SYNTHETIC, "pair")]
        return SyntheticSplit(tf.constant(np.concatenate(chosen)))

    return TranslationDataSet(SYNTHETIC, split)


class SyntheticSplit:
    """Synthetic pairs, one per line ([pairs] strings): source, tab, target."""

    def __init__(self, lines: tf.Tensor):
        self.num_examples = len(lines)
        self.shard_sizes = (len(lines),)
        self._lines = lines

    def read(self, shard: tf.Tensor, skip: tf.Tensor, take: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(self._lines[skip : skip + take])

    def parse(self, record: tf.Tensor) -> dict[str, tf.Tensor]:
        sides = tf.strings.split(record, "\t")
        return {"source": sides[0], "target": sides[1]}


def _read(split: stream.Records, places: np.ndarray) -> Pairs:
    """The pairs at the given places of a split, in that order; other records are read but not parsed."""
    wanted = tf.constant(np.sort(places), tf.int64)
    sizes = np.array(split.shard_sizes, np.int64)
    files = tf.data.Dataset.from_tensor_slices((np.arange(len(sizes)), np.zeros_like(sizes), sizes))
    blocks = files.flat_map(split.read).batch(BLOCK)

    def wanted_of(begin, records):
        low, high = tf.unstack(tf.searchsorted(wanted, tf.stack([begin, begin + BLOCK])))
        return tf.data.Dataset.from_tensor_slices(tf.gather(records, wanted[low:high] - begin))

    records = tf.data.Dataset.zip(tf.data.Dataset.counter(0, BLOCK), blocks).flat_map(wanted_of).take(len(places))
    examples = records.map(split.parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).batch(BLOCK)
    columns = {"source": [], "target": []}
    for block in examples.as_numpy_iterator():
        for name, column in columns.items():
            column.extend(sentence.decode("utf-8") for sentence in block[name])
    ranks = np.searchsorted(wanted.numpy(), places).tolist()
    return Pairs(**{name: tuple(map(column.__getitem__, ranks)) for name, column in columns.items()})


def _random_lines(count: int, random: np.random.Generator) -> np.ndarray:
    """[count] strings: a sentence, a tab, and its translation."""
    letters = random.integers(ord("a"), ord("z") + 1, (2, 50, 6), np.uint8)
    source, target = ([word.tobytes().decode() for word in words] for words in letters)
    sentences = (random.integers(0, 50, length).tolist() for length in random.integers(1, 13, count))
    return np.array(
        [" ".join(source[i] for i in line) + "\t" + " ".join(target[i] for i in line[::-1]) for line in sentences]
    )

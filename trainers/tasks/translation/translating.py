"""Translates texts with a Transformer; `--mode=generate` streams translations line by line."""

from __future__ import annotations

import contextlib
import io
import math
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from flags.errors import UserError
from flags.run import Run
from trainers.run.diverged import diverged
from trainers.run.screen import Screen
from trainers.tasks.translation.decoding import Decoder
from trainers.tasks.translation.token_batches import padded_sources
from trainers.tasks.translation.vocabulary import BEGIN, END, Subwords

if TYPE_CHECKING:
    from trainers.tasks.translation.task import Translation

POSITIONS = 8192  # total positions of texts decoded together
BYTES = 1 << 16  # read from stdin at once


class Translator:
    """Translates texts of any length, in batches of similar length.

    The translation of a source of n subwords is limited to 1.5 n + 10 subwords including `END`, rounded up to the next
    power of four: few searches are compiled, and the limit does not depend on the other texts.

    Args:
        subwords: the vocabulary that the model was trained with.
        beam: beam width; 1: greedy.
        max_length: maximum number of subwords of a translation, including `END`; None: no further limit.

    Raises:
        UserError: the model's number of symbols differs from that of `subwords`.
    """

    def __init__(self, model: keras.Model, subwords: Subwords, *, beam: int, max_length: int | None = None):
        symbols = model.output.shape[-1]
        if len(subwords) != symbols:
            raise UserError(
                f"the vocabulary has {len(subwords):,} subwords, the model {symbols:,}: it was trained with another "
                "one. Remove flags that change the training data or data.vocabulary."
            )
        self._model = model
        self._subwords = subwords
        self._beam = beam
        self._max_length = max_length
        self._decoders: dict[int, Decoder] = {}

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Returns the translations of texts, in order; that of a blank text is empty.

        Raises:
            RunError: the model's scores are not finite.
        """
        translations = [""] * len(texts)
        if not texts:
            return translations
        sources = padded_sources(list(texts), self._subwords)
        lengths = np.count_nonzero(sources, axis=1)  # including `END`
        for limit, rows in self._batches(lengths):
            for row, ids in zip(rows, self._search(limit, sources[rows, : lengths[rows].max()])):
                translations[row] = self._subwords.decode(ids)
        return translations

    @property
    def traces(self) -> int:
        """The number of times that a search was traced; more than one for each of 16, 64, 256, ... is a bug."""
        return sum(decoder.traces for decoder in self._decoders.values())

    def _batches(self, lengths: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """The length limit and rows of each batch: all non-empty texts, shortest first."""
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] > 1]
        limits = np.array([self._limit(length - 1) for length in lengths[order].tolist()])
        for limit in np.unique(limits).tolist():
            rows = order[limits == limit]
            size = max(1, POSITIONS // (max(limit, lengths[rows[-1]]) * self._beam))
            for first in range(0, len(rows), size):
                yield limit, rows[first : first + size]

    def _limit(self, length: int) -> int:
        longest = 4 ** math.ceil(math.log2(longest_translation(length)) / 2)
        return longest if self._max_length is None else min(longest, self._max_length)

    def _search(self, limit: int, sources: np.ndarray) -> list[list[int]]:
        """The padded ids of translations."""
        if limit not in self._decoders:
            self._decoders[limit] = Decoder(self._model, beam=self._beam, max_length=limit, begin=BEGIN, end=END)
        try:
            return self._decoders[limit].decode(tf.constant(sources))[0].numpy().tolist()
        except tf.errors.InvalidArgumentError as error:
            raise diverged("scores") from error


def longest_translation(length: int) -> int:
    """The maximum number of subwords, including `END`, in the translation of a source of `length` subwords."""
    return length + length // 2 + 10


def translate(run: Run, task: Translation, model: keras.Model, device: str) -> None:
    """Prints the translation of each line of `--prompt`; prints the speed, including compilation, on stderr.

    The lines available on stdin are translated together before waiting for more. Bytes that are not UTF-8 are read as
    an unknown character. Ctrl-C ends it early and is not an error.

    Raises:
        UserError: the run's vocabulary does not match its model.
        RunError: the model's scores are not finite.
    """
    screen, written, seconds = Screen(), 0, 0.0
    translator = Translator(model, task.subwords, beam=task.recipe.data.beam)
    with tf.device(device), contextlib.suppress(KeyboardInterrupt):
        for lines in _lines(run):
            began = time.perf_counter()
            translations = translator.translate(lines)
            seconds += time.perf_counter() - began
            screen.print("".join(f"{line}\n" for line in translations).encode())
            written += len(lines)
    screen.end()
    if not run.quiet and written:
        print(f"{written:,} sentences, {written / seconds:,.1f} sentences per second", file=sys.stderr)


def _lines(run: Run) -> Iterator[list[str]]:
    """The lines of the prompt, or of stdin, in groups of all lines available at a time."""
    if run.prompt == "-":
        file = sys.stdin.buffer
    else:
        file = io.BytesIO(run.prompt.removesuffix("\n").encode("utf-8", "surrogateescape") + b"\n")
    begun = b""
    while content := file.read1(BYTES):
        *lines, begun = (begun + content).split(b"\n")
        if lines:
            yield [line.decode("utf-8", "replace") for line in lines]
    if begun:
        yield [begun.decode("utf-8", "replace")]

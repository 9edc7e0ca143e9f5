"""`--mode=generate` for language models: streams the continuation of a text to stdout."""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from flags.run import Run
from tf_models.sha_rnn import collapse
from trainers.run.diverged import diverged
from trainers.run.screen import Screen
from trainers.tasks.text.data import TextDataSet
from trainers.tasks.text.sampling import Place, Writer, draw

if TYPE_CHECKING:
    from trainers.tasks.text.task import LanguageModelling

AT_ONCE = 16  # symbols per call: few enough to stream, enough to make Python's overhead negligible


def write(run: Run, task: LanguageModelling, model: keras.Model, device: str) -> None:
    """Prints the prompt and a continuation of `--length` symbols; prints the speed on stderr.

    Ctrl-C ends the text early and is not an error.

    Raises:
        UserError: the prompt has bytes or words that are not in the vocabulary.
        RunError: the model's scores are not finite.
    """
    dataset, segment_length = task.dataset, task.recipe.data.segment_length
    prompt = _prompt(run, dataset)
    chosen = functools.partial(draw, seed=run.seed, temperature=run.temperature, top_k=run.top_k, top_p=run.top_p)
    screen, written = Screen(), 0
    with tf.device(device):
        writer = Writer(collapse(model), chosen, segment_length)
        place = writer.begin(prompt)
        writer.write(place, 0)  # compiles, so that the clock does not include it
        began = time.perf_counter()
        with contextlib.suppress(KeyboardInterrupt):
            screen.print(dataset.decode(prompt))
            for symbols in _pieces(writer, place, run.length):
                screen.print(dataset.decode(symbols))
                written += len(symbols)
    screen.end()
    if not run.quiet:
        rate = written / (time.perf_counter() - began)
        print(f"{written:,} {dataset.unit}s, {rate:,.0f} {dataset.unit}s per second", file=sys.stderr)


def _prompt(run: Run, dataset: TextDataSet) -> np.ndarray:
    """The symbols of the prompt: [at least one]."""
    text = sys.stdin.buffer.read() if run.prompt == "-" else run.prompt.encode("utf-8", "surrogateescape")
    symbols = dataset.encode(text)
    return symbols if len(symbols) else dataset.encode(b"\n")


def _pieces(writer: Writer, place: Place, length: int) -> Iterator[np.ndarray]:
    """Yields `length` symbols after `place`, a few at a time."""
    for written in range(0, length, AT_ONCE):
        try:
            symbols, place = writer.write(place, min(AT_ONCE, length - written))
        except tf.errors.InvalidArgumentError as error:
            raise diverged("scores") from error
        yield symbols

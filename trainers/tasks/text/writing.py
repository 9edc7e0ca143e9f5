"""`--mode=generate` of a language model: it goes on with a text, on stdout, as it comes."""

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

AT_ONCE = 16  # symbols a call: few enough to be seen coming, enough for Python not to matter


def write(run: Run, task: LanguageModelling, model: keras.Model, device: str) -> None:
    """Prints the prompt and `--length` symbols that go on with it; on stderr, how many a second.

    Ctrl-C ends the text early, which is no failure.

    Raises:
        UserError: the prompt has bytes or words that the model does not know.
        RunError: the model's scores are not finite.
    """
    dataset, segment_length = task.dataset, task.recipe.data.segment_length
    prompt = _prompt(run, dataset)
    chosen = functools.partial(draw, seed=run.seed, temperature=run.temperature, top_k=run.top_k, top_p=run.top_p)
    screen, written = Screen(), 0
    with tf.device(device):
        writer = Writer(collapse(model), chosen, segment_length)
        place = writer.begin(prompt)
        writer.write(place, 0)  # compiles, which the clock is not to count
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
    """The symbols that the text begins with: [at least one]."""
    text = sys.stdin.buffer.read() if run.prompt == "-" else run.prompt.encode("utf-8", "surrogateescape")
    symbols = dataset.encode(text)
    return symbols if len(symbols) else dataset.encode(b"\n")


def _pieces(writer: Writer, place: Place, length: int) -> Iterator[np.ndarray]:
    """`length` symbols after `place`, some at a time."""
    for written in range(0, length, AT_ONCE):
        try:
            symbols, place = writer.write(place, min(AT_ONCE, length - written))
        except tf.errors.InvalidArgumentError as error:
            raise diverged("scores") from error
        yield symbols

"""`--mode=generate`: a finished language model goes on with a text, on stdout, as it comes."""

from __future__ import annotations

import codecs
import contextlib
import functools
import re
import sys
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from flags.errors import RunError
from flags.run import Run
from tf_models.sha_rnn import collapse
from trainers.data.text import TextDataSet
from trainers.evaluate import load_finished
from trainers.sampling import Place, Writer, draw
from trainers.session import open_session

AT_ONCE = 16  # symbols a call: few enough to be seen coming, enough for Python not to matter
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # without tab and newline


def generate(run: Run) -> None:
    """Prints the prompt and `--length` symbols that go on with it; on stderr, how many a second.

    Ctrl-C ends the text early, which is no failure.

    Raises:
        UserError: the prompt has bytes or words that the model does not know.
        RunError: the model's scores are not finite.
    """
    session = open_session(run)
    dataset, segment_length = session.dataset, session.recipe.data.segment_length
    prompt = _prompt(run, dataset)
    model = load_finished(session)
    chosen = functools.partial(draw, seed=run.seed, temperature=run.temperature, top_k=run.top_k, top_p=run.top_p)
    screen, written = Screen(), 0
    with tf.device(session.strategy.extended.worker_devices[0]):
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
            raise RunError(
                "the model's scores are not finite: its weights have grown without bounds. Train anew with a lower "
                "learning rate (--set=schedule.lr=...)."
            ) from error
        yield symbols


class Screen:
    r"""Prints bytes on stdout as they come, as text that is safe on a terminal.

    What is not UTF-8, or a control character other than tab and newline, is shown as \xNN; what stdout's encoding
    lacks, as \uNNNN.
    """

    def __init__(self):
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._begins_line = True

    def print(self, content: bytes, final: bool = False) -> None:
        """Prints all whole characters of what has come; if `final`, the rest as well."""
        text = CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", self._decoder.decode(content, final))
        encoding = sys.stdout.encoding or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding), end="", flush=True)
        if text:
            self._begins_line = text.endswith("\n")

    def end(self) -> None:
        """Ends the text, and its last line."""
        self.print(b"", final=True)
        if not self._begins_line:
            print(flush=True)

"""Progress of a sweep on stderr: a redrawn table on a terminal, elsewhere one line per trial."""

from __future__ import annotations

import re
import shutil
import sys
import time
from typing import Any

from flags import metrics
from trainers.run.console import duration
from trainers.run.signals import STOPPED
from trainers.sweeps.eta import remaining
from trainers.sweeps.trial_queue import TrialQueue, TrialResult

SECONDS_BETWEEN = 1.0  # interval between redraws
STEP = re.compile(r"step (\d+/\d+)")  # in a run's log
TAIL_BYTES = 4096
SHOWN = ("top1", "squared_error", "bpc", "nll", "bleu")  # metrics printed for a finished trial


class Table:
    """Shows a queue of trials; if `quiet`, only failures."""

    def __init__(self, queue: TrialQueue, *, quiet: bool):
        self._queue = queue
        self._quiet = quiet
        self._is_drawn = sys.stderr.isatty() and not quiet
        self._lines = 0  # height of the table now on the terminal
        self._drawn_at = 0.0
        if not quiet:
            self._say(
                f"{len(queue.waiting())} trials to run, {len(queue.finished)} done before; folder {queue.folder.path}"
            )

    def ended(self, ending: TrialResult, at_once: int) -> None:
        """Prints a line for a trial that ended by itself."""
        queue, name = self._queue, ending.trial.name
        if name in queue.failed:
            self._say(f"{name}: failed ({ending.why}), see {queue.folder.log(ending.trial)}")
        elif ending.status != STOPPED and not self._quiet and not self._is_drawn:
            self._say(f"{name}: {_measured(queue.finished[-1].results)}  {self._summary(at_once)}")

    def show(self, at_once: int) -> None:
        """Redraws the table on a terminal, once per second."""
        if self._is_drawn and time.monotonic() - self._drawn_at >= SECONDS_BETWEEN:
            self._drawn_at = time.monotonic()
            width, height = shutil.get_terminal_size()
            lines = [self._summary(at_once)]
            for one in list(self._queue.running.values())[: height - 3]:
                lines.append(f"  {one.trial.name}  {self._step(one.trial)}")
            self._erase()
            print(*(line[: width - 1] for line in lines), sep="\n", file=sys.stderr, flush=True)
            self._lines = len(lines)

    def close(self) -> None:
        self._erase()

    def _summary(self, at_once: int) -> str:
        queue = self._queue
        left = len(queue.waiting()) + len(queue.running)
        seconds = remaining(queue, at_once)
        failed = f"  failed {len(queue.failed)}" if queue.failed else ""
        eta = "" if seconds is None else f"  ETA {duration(seconds)}"
        return f"done {len(queue.finished)}  running {len(queue.running)}  left {left}{failed}{eta}"

    def _step(self, trial) -> str:
        """The latest step in the trial's log, such as "step 100/2000"."""
        try:
            with open(self._queue.folder.log(trial), "rb") as log:
                log.seek(max(0, log.seek(0, 2) - TAIL_BYTES))
                steps = STEP.findall(log.read().decode(errors="replace"))
        except OSError:
            steps = []
        return f"step {steps[-1]}" if steps else "starting"

    def _say(self, text: str) -> None:
        self._erase()
        print(text, file=sys.stderr, flush=True)

    def _erase(self) -> None:
        if self._lines:
            print(f"\033[{self._lines}A\033[J", end="", file=sys.stderr, flush=True)
            self._lines = 0


def _measured(results: dict[str, Any]) -> str:
    """Formats results as "test top1 91.0%  training top1 99.8%  1:02"."""
    parts = {"test": results["metrics"], "training": results.get("fit", {})}
    shown = [
        f"{name} {metric} {metrics.get(metric).format(numbers[metric])}"
        for name, numbers in parts.items()
        for metric in metrics.METRICS
        if metric in numbers and metric in SHOWN
    ]
    return "  ".join([*shown, duration(results["seconds"])])

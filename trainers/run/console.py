"""What a person sees of a run: a start line, a progress bar on a terminal, plain lines elsewhere. All on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

PERCENT = ("top1", "top5", "waiting")
RATES = tuple(f"{unit}_per_second" for unit in ("examples", "bytes", "words", "tokens"))
SHOWN = ("loss", "squared_error", "top1", "top5", "bpc", "nll", "perplexity", "lr", *RATES, "waiting")


class Console:
    """Prints a run's progress towards `total_steps`; silent if `quiet`."""

    def __init__(self, *, total_steps: int, steps_per_epoch: float, quiet: bool):
        self._total = total_steps
        self._steps_per_epoch = steps_per_epoch
        self._quiet = quiet
        self._bar = sys.stderr.isatty() and not quiet
        self._began: tuple[float, int] | None = None

    def say(self, text: str) -> None:
        if not self._quiet:
            self._clear_bar()
            print(text, file=sys.stderr, flush=True)

    def began(self, step: int) -> None:
        """The clock of the ETA starts: compilation is over, `step` steps are done."""
        self._began = (time.perf_counter(), step)

    def progress(self, step: int) -> None:
        if self._bar:
            done = int(30 * step / self._total)
            bar = "=" * done + ">" * (done < 30) + "." * (29 - done)
            print(f"\r[{bar}] {step}/{self._total}{self._eta(step)}  ", end="", file=sys.stderr, flush=True)

    def report(self, step: int, split: str, numbers: Mapping[str, float]) -> None:
        shown = "  ".join(f"{name} {_format(name, numbers[name])}" for name in SHOWN if name in numbers)
        epoch = step / self._steps_per_epoch
        eta = self._eta(step) if split == "train" else ""
        self.say(f"{split:5}  step {step}/{self._total}  epoch {epoch:.1f}  {shown}{eta}")

    def _eta(self, step: int) -> str:
        if self._began is None or step <= self._began[1]:
            return ""
        seconds = (time.perf_counter() - self._began[0]) / (step - self._began[1]) * (self._total - step)
        return f"  ETA {duration(seconds)}"

    def _clear_bar(self) -> None:
        if self._bar:
            print("\r\033[K", end="", file=sys.stderr)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as a person writes them: 1:02:03 or 2:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _format(name: str, value: float) -> str:
    if name in PERCENT:
        return f"{value:.1%}"
    return f"{value:.0f}" if name in RATES else f"{value:.4g}"

"""Progress output of a run on stderr: a start line, a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping

from flags import metrics

HIDDEN = ("absolute_error", "top1_clean", "bpc_author", "perplexity_author")  # metrics left out to keep lines short


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
        """Starts the clock of the ETA, with compilation finished and `step` steps done."""
        self._began = (time.perf_counter(), step)

    def progress(self, step: int) -> None:
        if self._bar:
            done = int(30 * step / self._total)
            bar = "=" * done + ">" * (done < 30) + "." * (29 - done)
            print(f"\r[{bar}] {step}/{self._total}{self._eta(step)}  ", end="", file=sys.stderr, flush=True)

    def report(self, step: int, split: str, numbers: Mapping[str, float]) -> None:
        shown = "  ".join(f"{name} {text}" for name, text in _shown(numbers))
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
    """Formats seconds as 1:02:03 or 2:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _shown(numbers: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """The entries of a progress line: metrics, learning rate, speed, share of time spent waiting for data."""
    for name in metrics.METRICS:
        if name in numbers and name not in HIDDEN:
            percent = metrics.get(name).percent
            yield name, f"{numbers[name]:.1%}" if percent else f"{numbers[name]:.4g}"
    if "lr" in numbers:
        yield "lr", f"{numbers['lr']:.4g}"
    for name, value in numbers.items():
        if name.endswith("s_per_second"):
            yield name, f"{value:.0f}"
    if "waiting" in numbers:
        yield "waiting", f"{numbers['waiting']:.1%}"

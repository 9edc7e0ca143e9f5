"""The length of a run in steps, its division into calls of the loop, and means over windows of calls."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from flags.training import Train

SECONDS_PER_CALL = 2.0  # target duration of a call, after which the host checks for signals


@dataclasses.dataclass(frozen=True)
class RunLength:
    """The optimizer steps of a run."""

    total: int
    per_epoch: float  # rarely an integer; for texts the mean, because segments vary in length
    first_pass: int | None = None  # steps before the second pass; None: a single pass


class Evaluations:
    """The steps after which a run is evaluated: every `eval_every`, or `evals_per_decade` times per factor of ten."""

    def __init__(self, train: Train):
        self._every, self._per_decade = train.eval_every, train.evals_per_decade

    def after(self, step: int) -> int:
        """The first such step after `step`."""
        if self._per_decade is None:
            return step + self._every - step % self._every
        place = max(0, math.floor(self._per_decade * math.log10(step)) - 1) if step else 0
        while (found := round(10 ** (place / self._per_decade))) <= step:
            place += 1
        return found

    def __contains__(self, step: int) -> bool:
        return self.after(step - 1) == step


class Calls:
    """Divides a run into calls of the loop.

    A call never crosses a step at which the host has something to do. With `timed`, calls also take about
    `SECONDS_PER_CALL`, so that signals are handled soon; workers of a cluster must not use it, because their clocks
    differ. The division does not affect the result.
    """

    def __init__(self, train: Train, length: RunLength, *, profile: tuple[int, int] | None, timed: bool):
        self._every = (train.log_every, train.checkpoint_every)
        self._evaluations = Evaluations(train)
        self._edges = (length.total, *((length.first_pass,) if length.first_pass else ()), *(profile or ()))
        self._timed = timed
        self._step_seconds: float | None = None

    def steps_from(self, step: int) -> int:
        """The number of steps of the call that starts at `step`."""
        ahead = [every - step % every for every in self._every] + [edge - step for edge in self._edges if edge > step]
        ahead.append(self._evaluations.after(step) - step)
        if not self._timed:
            return min(ahead)
        # The first call includes compilation, so one step is enough and its time is not used.
        wanted = 1 if self._step_seconds is None else max(1, int(SECONDS_PER_CALL / self._step_seconds))
        return min(wanted, *ahead)

    def took(self, steps: int, seconds: float, *, compiled: bool) -> None:
        """Records the duration of a call of `steps` steps; ignored if it `compiled`."""
        if not compiled:
            self._step_seconds = seconds / steps


class Window:
    """Means over the calls since the last report.

    Args:
        unit: unit of the speed: "example", or "byte" or "word" for texts.
    """

    def __init__(self, unit: str):
        self._unit = unit
        self._clear()

    def add(self, numbers: Mapping[str, float], steps: int, units: int, seconds: float) -> None:
        """Adds a call of `steps` steps that processed `units` units."""
        self._steps += steps
        self._units += units
        self._seconds += seconds
        for name, value in numbers.items():
            self._sums[name] = self._sums.get(name, 0.0) + value * steps
        self._waited += numbers["waited"]
        self._last = dict(numbers)

    def close(self) -> dict[str, float]:
        """Returns the numbers to report and starts the next window."""
        numbers = {name: total / self._steps for name, total in self._sums.items() if name not in INTERNAL + AT_THE_END}
        numbers |= {name: self._last[name] for name in AT_THE_END}
        numbers |= {
            f"{self._unit}s_per_second": self._units / self._seconds,
            "waiting": min(1.0, self._waited / self._seconds),
        }
        self._clear()
        return numbers

    def _clear(self) -> None:
        self._steps, self._units, self._seconds, self._waited = 0, 0, 0.0, 0.0
        self._sums: dict[str, float] = {}
        self._last: dict[str, float] = {}


INTERNAL = ("waited", "stops", "first_nonfinite")
AT_THE_END = ("parameter_norm", "l2", "lr")

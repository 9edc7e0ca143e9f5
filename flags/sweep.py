"""The trials behind a figure, and the order in which they run."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from flags.errors import require


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of a sweep: the recipe fields that it replaces, and its seed."""

    values: Mapping[str, Any]  # recipe path -> value
    seed: int

    @property
    def name(self) -> str:
        """The folder name, such as "k4-label_noise0.2-seed0": no character that a shell or a glob would interpret."""
        parts = [path.rpartition(".")[2] + _written(value) for path, value in self.values.items()]
        return "-".join([*parts, f"seed{self.seed}"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ladder:
    """Search for the effective model complexity: the largest number of examples that a recipe fits (section 2).

    The number of examples n grows by `factor` from `first` to `last`, the whole training set. g(n) is the mean error on
    the n training examples over the sweep's seeds; n passes if g(n) <= eps. Once g exceeds eps, `beyond` more rungs are
    tried, because g need not be monotone. Then the interval between the largest passing n and the next failing n is
    bisected until it is smaller than `refine` times the smaller n. Every recipe is also trained on `at` examples, where
    test errors are compared.
    """

    path: str = "data.num_train"
    first: int
    last: int
    factor: float = 2**0.5
    refine: float = 0.1
    eps: tuple[float, ...] = (0.01, 0.05, 0.1)
    error: Literal["zero_one", "squared"] = "zero_one"
    beyond: int = 2
    at: int | None = None

    def __post_init__(self) -> None:
        require(
            1 <= self.first < self.last,
            f"a ladder from first={self.first} to last={self.last}: first must be at least 1 and below last",
        )
        require(self.factor > 1, f"a ladder's factor={self.factor}: must be above 1")
        require(self.refine > 0, f"a ladder's refine={self.refine}: must be positive")
        require(self.beyond >= 0, f"a ladder's beyond={self.beyond}: must be 0 or more")
        require(
            self.at is None or 1 <= self.at <= self.last,
            f"a ladder's at={self.at}: must be from 1 to last={self.last}, or none",
        )
        require(
            len(self.eps) > 0 and len(set(self.eps)) == len(self.eps) and min(self.eps) > 0,
            f"a ladder's eps={self.eps}: must be one or more positive numbers without duplicates",
        )

    @property
    def rungs(self) -> list[int]:
        """The numbers of examples, ascending, ending with `last`."""
        rungs = itertools.takewhile(
            lambda count: count < self.last, (round(self.first * self.factor**i) for i in itertools.count())
        )
        return [*dict.fromkeys(rungs), self.last]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """The trials of a figure: every combination of the grid's values, with every seed.

    With a `ladder`, each grid point is trained at the numbers of examples that the search for its complexity needs.
    """

    grid: Mapping[str, tuple]  # recipe path -> values, such as "model.k": (1, 2, 4)
    seeds: tuple[int, ...] = (0,)
    ladder: Ladder | None = None

    def __post_init__(self) -> None:
        for path, values in self.grid.items():
            require(
                len(values) > 0 and len(set(values)) == len(values),
                f"the sweep's values of {path}, {values}: must be one or more values without duplicates",
            )
            names = {_written(value) for value in values}
            require(len(names) == len(values), f"the sweep's values of {path}, {values}: two would share a folder")
        require(
            len(self.seeds) > 0 and len(set(self.seeds)) == len(self.seeds),
            f"the sweep's seeds, {self.seeds}: must be one or more seeds without duplicates",
        )
        require(
            self.ladder is None or self.ladder.path not in self.grid,
            f"the sweep's grid has {getattr(self.ladder, 'path', None)}, which its ladder varies. Remove it.",
        )

    @property
    def paths(self) -> tuple[str, ...]:
        """The recipe paths that vary between trials (without the seed)."""
        return (*self.grid, *([self.ladder.path] if self.ladder else []))

    @property
    def points(self) -> list[dict[str, Any]]:
        """The grid's combinations, path -> value, ordered so that the first ones already show the figure.

        Along each axis the ends come first, then the midpoints of the remaining intervals. The longest axis, the x-axis
        of the figure, is the outermost loop.
        """
        places = [dict(zip(values, _coarse_to_fine(len(values)))) for values in self.grid.values()]
        points = list(itertools.product(*self.grid.values()))
        longest = max(range(len(places)), key=lambda axis: len(places[axis]), default=0)

        def rank(point: tuple) -> tuple[int, ...]:
            ranks = [place[value] for place, value in zip(places, point)]
            return (ranks[longest], *ranks) if ranks else ()

        return [dict(zip(self.grid, point)) for point in sorted(points, key=rank)]

    @property
    def trials(self) -> list[Trial]:
        """Every point with every seed; each seed covers the whole grid before the next begins.

        With a ladder, the number of examples is missing here: it depends on results (`trainers.sweeps.emc`).
        """
        return [Trial(values=point, seed=seed) for seed in self.seeds for point in self.points]


def _written(value: Any) -> str:
    """Formats a value for a folder name."""
    text = "_".join(map(_written, value)) if isinstance(value, (tuple, list)) else str(value)
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", text)


def _coarse_to_fine(count: int) -> Sequence[int]:
    """The rank in coarse-to-fine order of each of `count` places on an axis: [count], a permutation."""
    order = list(dict.fromkeys([0, count - 1]))
    spans = [(0, count - 1)]
    for low, high in spans:  # grows while iterating: the halves of a span come after all spans of its size
        middle = (low + high) // 2
        if low < middle < high:
            order.append(middle)
            spans += [(low, middle), (middle, high)]
    turn = [0] * count
    for number, place in enumerate(order):
        turn[place] = number
    return turn

"""Which trials a figure is drawn from, and in what order they are run."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from flags.errors import require


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of a sweep: the recipe's fields that it replaces, and its seed."""

    values: Mapping[str, Any]  # path of the recipe -> value
    seed: int

    @property
    def name(self) -> str:
        """Of its folder, such as "k4-label_noise0.2-seed0": nothing that a shell, a glob or a list would take apart."""
        parts = [path.rpartition(".")[2] + _written(value) for path, value in self.values.items()]
        return "-".join([*parts, f"seed{self.seed}"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ladder:
    """How effective model complexity is searched for: the largest number of examples that a recipe fits (section 2).

    Numbers of examples grow by `factor` from `first` to `last`, all that there are. g(n) is the mean error on the n
    training examples over the sweep's seeds; n passes where g(n) <= eps. Where g rises above eps, `beyond` more rungs
    are tried, for g need not be monotone; then the last n that passes and the first above it that fails are brought
    together until they are less than `refine` apart, as a share of the smaller. Every recipe is trained on `at`
    examples as well: at that n test errors are compared.
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
            f"a ladder from first={self.first} to last={self.last}: first must be 1 or more, and below last",
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
            f"a ladder's eps={self.eps}: must be one or more positive numbers, each once",
        )

    @property
    def rungs(self) -> list[int]:
        """The numbers of examples, ascending; the last is `last`."""
        rungs = itertools.takewhile(
            lambda count: count < self.last, (round(self.first * self.factor**i) for i in itertools.count())
        )
        return [*dict.fromkeys(rungs), self.last]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """The trials of a figure: the product of a grid's values, each with every seed.

    With a `ladder` each point of the grid is trained at the numbers of examples that its complexity asks for.
    """

    grid: Mapping[str, tuple]  # path of the recipe -> its values, "model.k": (1, 2, 4)
    seeds: tuple[int, ...] = (0,)
    ladder: Ladder | None = None

    def __post_init__(self) -> None:
        for path, values in self.grid.items():
            require(
                len(values) > 0 and len(set(values)) == len(values),
                f"the sweep's values of {path}, {values}: must be one or more, each once",
            )
            names = {_written(value) for value in values}
            require(len(names) == len(values), f"the sweep's values of {path}, {values}: two would share a folder")
        require(
            len(self.seeds) > 0 and len(set(self.seeds)) == len(self.seeds),
            f"the sweep's seeds, {self.seeds}: must be one or more, each once",
        )
        require(
            self.ladder is None or self.ladder.path not in self.grid,
            f"the sweep's grid has {getattr(self.ladder, 'path', None)}, which its ladder goes through. Leave it out.",
        )

    @property
    def paths(self) -> tuple[str, ...]:
        """All that differs from trial to trial, seeds aside."""
        return (*self.grid, *([self.ladder.path] if self.ladder else []))

    @property
    def points(self) -> list[dict[str, Any]]:
        """The grid's combinations, path -> value, so ordered that the first ones already show the figure.

        Along an axis the ends come first, then the middles of what lies between. The longest axis, which is the
        figure's, is gone through once for all others.
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
        """Every point with every seed; a seed goes through the whole grid before the next begins.

        Those of a ladder follow from results (`trainers.sweeps.emc`); here they lack their number of examples.
        """
        return [Trial(values=point, seed=seed) for seed in self.seeds for point in self.points]


def _written(value: Any) -> str:
    """A value in the name of a folder."""
    text = "_".join(map(_written, value)) if isinstance(value, (tuple, list)) else str(value)
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", text)


def _coarse_to_fine(count: int) -> Sequence[int]:
    """When each of `count` places on an axis has its turn: [count], a permutation."""
    order = list(dict.fromkeys([0, count - 1]))
    spans = [(0, count - 1)]
    for low, high in spans:  # grows on the way: the halves of a span come after all spans of its size
        middle = (low + high) // 2
        if low < middle < high:
            order.append(middle)
            spans += [(low, middle), (middle, high)]
    turn = [0] * count
    for number, place in enumerate(order):
        turn[place] = number
    return turn

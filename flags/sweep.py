"""Which trials a figure is drawn from, and in what order they are run."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from flags.errors import require


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of a sweep: the recipe's fields that it replaces, and its seed."""

    values: Mapping[str, Any]  # path of the recipe -> value
    seed: int

    @property
    def name(self) -> str:
        """Of its folder, such as "k4-label_noise0.2-seed0"."""
        parts = [f"{path.rpartition('.')[2]}{value}" for path, value in self.values.items()]
        return "-".join([*parts, f"seed{self.seed}"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """The trials of a figure: the product of a grid's values, each with every seed."""

    grid: Mapping[str, tuple]  # path of the recipe -> its values, "model.k": (1, 2, 4)
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        for path, values in self.grid.items():
            require(
                len(values) > 0 and len(set(values)) == len(values),
                f"the sweep's values of {path}, {values}: must be one or more, each once",
            )
        require(len(self.seeds) > 0, "a sweep needs a seed or more")

    @property
    def trials(self) -> list[Trial]:
        """All, so ordered that the first ones already show the figure.

        A seed goes through the whole grid before the next begins; along an axis the ends come first, then the middles
        of what lies between. The longest axis, which is the figure's, is gone through once for all others.
        """
        places = [dict(zip(values, _coarse_to_fine(len(values)))) for values in self.grid.values()]
        points = list(itertools.product(*self.grid.values()))
        longest = max(range(len(places)), key=lambda axis: len(places[axis]), default=0)

        def rank(point: tuple) -> tuple[int, ...]:
            ranks = [place[value] for place, value in zip(places, point)]
            return (ranks[longest], *ranks) if ranks else ()

        points.sort(key=rank)
        return [Trial(values=dict(zip(self.grid, point)), seed=seed) for seed in self.seeds for point in points]


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

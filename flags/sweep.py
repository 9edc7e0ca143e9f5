"""Which trials a figure is drawn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """The trials of a figure: the product of a grid's values, each with every seed."""

    grid: Mapping[str, tuple]  # path of the recipe -> its values, "model.k": (1, 2, 4)
    seeds: tuple[int, ...] = (0,)

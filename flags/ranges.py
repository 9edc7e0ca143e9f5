"""Bounds of recipe fields, declared as annotations and checked on construction.

global_batch: Count
clip_norm: Positive | None = None
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from typing import Annotated, Any, ClassVar

from flags.errors import require


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; each end is included unless it is open."""

    text: str  # completes "must ..."
    low: float = float("-inf")
    high: float = float("inf")
    low_open: bool = False
    high_open: bool = False

    def holds(self, value: float) -> bool:
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below


Count = Annotated[int, Range("be 1 or more", low=1)]
Natural = Annotated[int, Range("be 0 or more", low=0)]
Seed32 = Annotated[int, Range(f"be from 0 to {2**32 - 1}", low=0, high=2**32 - 1)]
Positive = Annotated[float, Range("be positive", low=0, low_open=True)]
NotNegative = Annotated[float, Range("be 0 or more", low=0)]
Share = Annotated[float, Range("lie in [0, 1]", low=0, high=1)]
BelowOne = Annotated[float, Range("lie in [0, 1)", low=0, high=1, high_open=True)]
Factor = Annotated[float, Range("lie in (0, 1)", low=0, high=1, low_open=True, high_open=True)]
Rate = Annotated[float, Range("lie in (0, 1]", low=0, high=1, low_open=True)]


class Group:
    """One group of a recipe's fields: a frozen dataclass that checks the declared bounds.

    Raises:
        UserError: a value is out of bounds.
    """

    group: ClassVar[str]  # its name in paths, such as "train" in "train.steps"

    def __post_init__(self) -> None:
        for field, (bounds, is_optional) in _bounds(type(self)).items():
            value = getattr(self, field)
            holds = is_optional if value is None else bounds.holds(value)
            require(holds, f"{self.group}.{field}={value}: must {bounds.text}{', or none' if is_optional else ''}")


@functools.cache
def _bounds(kind: type) -> dict[str, tuple[Range, bool]]:
    """The range of every bounded field, and whether the field may be none."""
    hints = typing.get_type_hints(kind, include_extras=True)
    found = {field.name: _range(hints[field.name]) for field in dataclasses.fields(kind)}
    return {name: bounds for name, bounds in found.items() if bounds is not None}


def _range(hint: Any) -> tuple[Range, bool] | None:
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    parts = typing.get_args(hint) if is_union else (hint,)
    for part in parts:
        for extra in getattr(part, "__metadata__", ()):
            if isinstance(extra, Range):
                return extra, type(None) in parts
    return None

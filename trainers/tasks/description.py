"""What a kind of problem adds to `--mode=describe`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """Attributes:
    facts: further entries of the JSON object.
    length: the paragraph on how long the run is, and on what.
    examples: how many examples (lanes, pairs) a device processes at once.
    positions: how many positions of a sequence each of them has; None: examples are no sequences.
    batch: the same in words, such as "micro-batches of 16 examples".
    remedy: what makes a step smaller, such as "--set=train.micro_batches=N splits them".
    memory: further parts of the memory estimate, in bytes -> a note behind each.
    per: the unit that multiply-adds are counted per, such as "byte"; None: they are those of one example.
    untrained: what the weights are that training leaves alone.
    """

    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    length: str
    examples: int
    positions: int | None = None
    batch: str
    remedy: str
    memory: Mapping[str, tuple[int, str]] = dataclasses.field(default_factory=dict)
    per: str | None = None
    untrained: str = "batch-norm statistics"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table as text, with columns of equal width."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)

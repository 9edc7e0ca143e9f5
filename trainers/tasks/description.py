"""A task's part of the output of `--mode=describe`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """Attributes:
    facts: further entries of the JSON object.
    length: paragraph on the length of the run.
    examples: number of examples (lanes, pairs) that a device processes at once.
    positions: sequence length of each; None: examples are not sequences.
    batch: the same in words, such as "micro-batches of 16 examples".
    remedy: how to make a step smaller, such as "--set=train.micro_batches=N splits them".
    memory: name -> (bytes, note) of further parts of the memory estimate.
    per: unit to which multiply-adds refer, such as "byte"; None: one example.
    untrained: description of the non-trainable weights.
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
    """Formats rows as a table with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)

"""Did-you-mean suggestions for mistyped names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LIKE = 0.65  # similarity in 0..1; below it, names are not suggested


def nearest(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Returns at most `count` names of `known` that are similar to `word`, best first."""
    likeness = {name: _likeness(word.lower(), name.lower()) for name in known}
    found = [name for name in likeness if likeness[name] >= LIKE]
    return sorted(found, key=likeness.__getitem__, reverse=True)[:count]


def near(word: str, known: Iterable[str]) -> str:
    """Returns "Near: a, b. " for an error message, or "" if no name is similar to `word`."""
    found = nearest(word, known)
    return f"Near: {', '.join(found)}. " if found else ""


def _likeness(word: str, name: str) -> float:
    """1 for equal words. Of a path, the last part counts: `lr` resembles `schedule.lr_per_256`, which contains it."""
    group, _, leaf = word.rpartition(".")
    name_group, _, name_leaf = name.rpartition(".")
    spelling = difflib.SequenceMatcher(None, leaf, name_leaf).ratio()
    shares_a_part = bool(set(leaf.split("_")) & set(name_leaf.split("_")))
    return max(spelling, LIKE * shares_a_part) + 0.1 * (group != "" and group == name_group)

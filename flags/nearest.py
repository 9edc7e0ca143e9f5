"""Did-you-mean: what the user may have wanted to type."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LIKE = 0.65  # of 1: below this, two words have little in common


def nearest(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Returns at most `count` of `known` that look like `word`, best first."""
    likeness = {name: _likeness(word.lower(), name.lower()) for name in known}
    found = [name for name in likeness if likeness[name] >= LIKE]
    return sorted(found, key=likeness.__getitem__, reverse=True)[:count]


def near(word: str, known: Iterable[str]) -> str:
    """Returns "Near: a, b. " for an error message, or "" if nothing looks like `word`."""
    found = nearest(word, known)
    return f"Near: {', '.join(found)}. " if found else ""


def _likeness(word: str, name: str) -> float:
    """1 for the same word. Of a path, the last part counts: `lr` is like `schedule.lr_per_256`, which has that part."""
    group, _, leaf = word.rpartition(".")
    name_group, _, name_leaf = name.rpartition(".")
    spelling = difflib.SequenceMatcher(None, leaf, name_leaf).ratio()
    shares_a_part = bool(set(leaf.split("_")) & set(name_leaf.split("_")))
    return max(spelling, LIKE * shares_a_part) + 0.1 * (group != "" and group == name_group)

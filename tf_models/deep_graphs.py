"""Support for networks that are deeper than Python's recursion limit."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

_FRAMES = 20_000


@contextlib.contextmanager
def deep_graphs() -> Iterator[None]:
    """Context with a higher recursion limit: Keras traverses a functional model recursively, one call per layer.

    `build_model` uses it; loading or cloning a model of more than about 900 layers needs it too.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _FRAMES))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)

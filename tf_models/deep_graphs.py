"""Room for networks that are deeper than Python's recursion limit."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

_FRAMES = 20_000


@contextlib.contextmanager
def deep_graphs() -> Iterator[None]:
    """Raises Python's recursion limit inside: Keras walks a functional model from its end, a call per layer.

    `build_model` does so by itself; loading or cloning a model of more than about 900 layers needs it too.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _FRAMES))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)

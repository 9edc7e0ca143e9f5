"""The interface between layers and `tf_models.inspection`.

A layer of this package whose weights take part in products defines

    multiply_adds(inputs, outputs) -> int

with the shapes of one call, those of all input and of all output tensors, as tuples without the batch. One that keeps
more for the backward pass than what it reads defines `bytes_inside(inputs, outputs, element_bytes) -> int`, and one
whose gradient does not read its inputs sets `gradient_reads` to "outputs" or "nothing".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Shapes = Sequence[tuple[int, ...]]  # of tensors, without the batch


def size(*weights) -> int:
    """How many numbers are in `weights`."""
    return sum(math.prod(weight.shape) for weight in weights)


def exact_bytes(element_bytes: int) -> int:
    """Bytes of an element of what is computed in float32 at least."""
    return max(element_bytes, 4)


def twice_bytes(element_bytes: int) -> int:
    """Bytes of an element that is kept in float32 and, where that is another type, as it is used."""
    exact = exact_bytes(element_bytes)
    return element_bytes + (exact if exact > element_bytes else 0)

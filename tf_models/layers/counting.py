"""The interface between layers and `tf_models.inspection`.

A layer of this package that multiplies with weights defines

    multiply_adds(inputs, outputs) -> int

given the shapes of all input and all output tensors of one call, without the batch. A layer that keeps more for the
backward pass than its inputs defines `bytes_inside(inputs, outputs, element_bytes) -> int`. A layer whose gradient does
not read its inputs sets `gradient_reads` to "outputs" or "nothing".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Shapes = Sequence[tuple[int, ...]]  # of tensors, without the batch


def size(*weights) -> int:
    """Returns the number of elements in `weights`."""
    return sum(math.prod(weight.shape) for weight in weights)


def exact_bytes(element_bytes: int) -> int:
    """Bytes per element of a tensor that is computed in float32 or higher."""
    return max(element_bytes, 4)


def twice_bytes(element_bytes: int) -> int:
    """Bytes per element of a tensor that is kept in float32 and, if different, in compute precision too."""
    exact = exact_bytes(element_bytes)
    return element_bytes + (exact if exact > element_bytes else 0)

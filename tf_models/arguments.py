"""Checks of builders' arguments: a wrong value is named before Keras trips over it."""

from __future__ import annotations

import math
import numbers


def require(holds: bool, argument: str, value: object, allowed: str) -> None:
    """Raises ValueError `argument=value: must be allowed` unless `holds`."""
    if not holds:
        raise ValueError(f"{argument}={value!r}: must be {allowed}")


def is_count(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= 1


def is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def require_classifier(num_classes: object, input_shape: object) -> None:
    """Checks what every image classifier takes: `num_classes`, and `input_shape` (height, width, channels)."""
    require(is_count(num_classes), "num_classes", num_classes, "an integer of 1 or more")
    require(
        isinstance(input_shape, (tuple, list))
        and len(input_shape) == 3
        and all(size is None or is_count(size) for size in input_shape)
        and input_shape[2] is not None,
        "input_shape",
        input_shape,
        "(height, width, channels), integers of 1 or more; height and width may be None",
    )

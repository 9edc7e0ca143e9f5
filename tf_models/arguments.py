"""Checks of builder arguments; errors name the argument, its value and the allowed values."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable


def require(holds: bool, argument: str, value: object, allowed: str) -> None:
    """Raises ValueError `argument=value: must be allowed` unless `holds`."""
    if not holds:
        raise ValueError(f"{argument}={value!r}: must be {allowed}")


def is_count(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= 1


def is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def require_counts(**values: object) -> None:
    """Raises ValueError unless every value is an integer of 1 or more."""
    for argument, value in values.items():
        require(is_count(value), argument, value, "an integer of 1 or more")


def require_positive(**values: object) -> None:
    """Raises ValueError unless every value is a number above 0."""
    for argument, value in values.items():
        require(is_number(value) and value > 0, argument, value, "a positive number")


def require_one_of(allowed: Iterable[str], **values: object) -> None:
    """Raises ValueError unless every value is one of the `allowed` strings."""
    allowed = tuple(allowed)
    for argument, value in values.items():
        require(isinstance(value, str) and value in allowed, argument, value, f"one of {', '.join(map(repr, allowed))}")


def require_rates(**values: object) -> None:
    """Raises ValueError unless every value is a dropout rate in [0, 1)."""
    for argument, value in values.items():
        require(is_number(value) and 0 <= value < 1, argument, value, "a number in [0, 1)")


def require_images(input_shape: object) -> None:
    """Raises ValueError unless `input_shape` is (height, width, channels)."""
    require(
        isinstance(input_shape, (tuple, list))
        and len(input_shape) == 3
        and all(size is None or is_count(size) for size in input_shape)
        and input_shape[2] is not None,
        "input_shape",
        input_shape,
        "(height, width, channels), integers of 1 or more; height and width may be None",
    )


def require_classifier(num_classes: object, input_shape: object) -> None:
    """Checks the arguments of every image classifier."""
    require_counts(num_classes=num_classes)
    require_images(input_shape)

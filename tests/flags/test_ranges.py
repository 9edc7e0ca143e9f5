"""Bounds stand with the field, and a value outside of them is refused in one line that names the field."""

import dataclasses
from typing import ClassVar

import pytest

from flags.errors import UserError
from flags.ranges import BelowOne, Count, Factor, Group, NotNegative, Positive, Rate, Share


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fields(Group):
    group: ClassVar[str] = "some"

    count: Count = 1
    maybe: Count | None = None
    positive: Positive = 1.0
    not_negative: NotNegative = 0.0
    share: Share = 0.5
    below_one: BelowOne = 0.0
    factor: Factor = 0.5
    rate: Rate = 1.0


@pytest.mark.parametrize(
    "field, inside, outside",
    [
        ("count", (1, 10**9), (0, -1)),
        ("maybe", (1, None), (0,)),
        ("positive", (1e-9,), (0.0, -1.0, float("nan"))),
        ("not_negative", (0.0,), (-1e-9,)),
        ("share", (0.0, 1.0), (-0.1, 1.1)),
        ("below_one", (0.0, 0.999), (1.0, -0.1)),
        ("factor", (0.001, 0.999), (0.0, 1.0)),
        ("rate", (0.001, 1.0), (0.0, 1.1)),
    ],
)
def test_a_bound_holds_exactly(field, inside, outside):
    for value in inside:
        assert getattr(Fields(**{field: value}), field) == value
    for value in outside:
        with pytest.raises(UserError, match=rf"^some\.{field}={value}: must "):
            Fields(**{field: value})


def test_a_field_that_may_be_none_says_so():
    with pytest.raises(UserError, match="must be 1 or more, or none$"):
        Fields(maybe=0)
    with pytest.raises(UserError, match="must be 1 or more$"):
        Fields(count=None)

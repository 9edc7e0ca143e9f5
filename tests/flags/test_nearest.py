"""Did-you-mean suggestions."""

import pytest

from flags.nearest import near, nearest

PATHS = (
    "train.global_batch",
    "train.steps",
    "train.select",
    "schedule.lr_per_256",
    "schedule.warmup_epochs",
    "data.flip",
)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("train.global_bach", "train.global_batch"),
        ("trian.steps", "train.steps"),
        ("global_batch", "train.global_batch"),
        ("train.lr", "schedule.lr_per_256"),
        ("train.warmup_epochs", "schedule.warmup_epochs"),
        ("Train.Steps", "train.steps"),
    ],
)
def test_a_mistyped_or_misplaced_path_finds_its_field_first(typed, meant):
    assert nearest(typed, PATHS)[0] == meant


def test_nothing_is_suggested_where_nothing_is_alike():
    assert nearest("zzz", PATHS) == []
    assert near("zzz", PATHS) == ""
    assert near("", PATHS) == ""


def test_the_nearest_name_stands_first_and_the_list_is_short():
    names = [f"effnet_b{size}" for size in range(8)]
    assert nearest("efnet_b3", names)[0] == "effnet_b3"
    assert len(nearest("efnet_b3", names)) == 3
    assert near("efnet_b3", names).startswith("Near: effnet_b3, ")

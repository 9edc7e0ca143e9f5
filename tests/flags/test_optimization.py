"""The optimizers and schedules of double descent: the paper's numbers, and what is refused."""

import pytest

from flags.optimization import Adam
from flags.schedules import DynamicDrop, InverseSquareRoot, WarmUpInverseSquareRoot


def test_adams_numbers_are_those_of_the_paper():
    recipe = Adam(weight_decay=0.0)
    assert (recipe.beta_1, recipe.beta_2, recipe.epsilon) == (0.9, 0.999, 1e-8)


def test_adams_decay_is_in_the_loss():
    assert Adam(weight_decay=5e-4).l2 == 5e-4


def test_a_rate_falls_every_512_updates_unless_said_otherwise():
    assert InverseSquareRoot(lr=0.1).period == 512


@pytest.mark.parametrize(
    "fields", [{"beta_1": 1.0}, {"beta_1": -0.1}, {"beta_2": 1.0}, {"epsilon": 0.0}, {"weight_decay": -1.0}]
)
def test_an_adam_out_of_range_is_refused_and_named(mistake_of, fields):
    ((name, value),) = fields.items()
    assert mistake_of(lambda: Adam(**{"weight_decay": 0.0, **fields})).startswith(f"optimizer.{name}={value}: must ")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (InverseSquareRoot, {"lr": 0.0}),
        (InverseSquareRoot, {"period": 0}),
        (WarmUpInverseSquareRoot, {"lr": -0.1}),
        (WarmUpInverseSquareRoot, {"warmup_steps": 0}),
        (DynamicDrop, {"lr": 0.0}),
        (DynamicDrop, {"factor": 1.0}),
        (DynamicDrop, {"factor": 0.0}),
        (DynamicDrop, {"window": 0}),
        (DynamicDrop, {"patience": 511}),
    ],
)
def test_a_schedule_out_of_range_is_refused_and_named(mistake_of, kind, fields):
    sound = {"lr": 0.1} | ({"warmup_steps": 4000} if kind is WarmUpInverseSquareRoot else {})
    kind(**sound)
    ((name, value),) = fields.items()
    assert mistake_of(lambda: kind(**sound | fields)).startswith(f"schedule.{name}={value}: must ")


def test_patience_may_be_a_single_window_and_no_less(mistake_of):
    assert DynamicDrop(lr=0.1, patience=512, window=512).patience == 512
    assert "schedule.window=512" in mistake_of(lambda: DynamicDrop(lr=0.1, patience=511, window=512))

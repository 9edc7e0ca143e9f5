"""Rates that fall with the inverse square root of the step, against the published formulas in exact arithmetic."""

import decimal
import itertools

import numpy as np
import pytest
import tensorflow as tf

from flags.schedules import InverseSquareRoot, WarmUpInverseSquareRoot
from trainers.optimizers import build_schedule


def schedule_of(recipe):
    return build_schedule(recipe, global_batch=128, steps_per_epoch=390.6, total_steps=10_000)


def rates(schedule, steps):
    return [float(schedule(tf.constant(step, tf.int64))) for step in steps]


def root(square) -> decimal.Decimal:
    return decimal.Decimal(square).sqrt()


def float32(values):
    return [float(np.float32(float(value))) for value in values]


def test_sgds_rates_are_those_of_the_formula_rounded_once():
    steps = [0, 1, 511, 512, 513, 1023, 1024, 1535, 250_000, 499_999, 999_999]
    expected = float32(decimal.Decimal("0.1") / root(1 + step // 512) for step in steps)
    assert rates(schedule_of(InverseSquareRoot(lr=0.1, period=512)), steps) == expected


def test_a_rate_stays_for_a_period_and_falls_at_its_end():
    seen = rates(schedule_of(InverseSquareRoot(lr=1.0, period=3)), range(12))
    assert [len(list(group)) for _, group in itertools.groupby(seen)] == [3, 3, 3, 3]
    assert seen == sorted(seen, reverse=True)


def test_a_period_of_one_falls_at_every_step():
    seen = rates(schedule_of(InverseSquareRoot(lr=1.0, period=1)), [0, 3, 8, 99])
    assert seen == float32([1, 1 / 2, 1 / 3, 1 / 10])


def test_the_rate_does_not_follow_batch_and_epoch():
    recipe = InverseSquareRoot(lr=0.1)
    other = build_schedule(recipe, global_batch=64, steps_per_epoch=7, total_steps=10_000)
    assert rates(other, [0, 512, 5000]) == rates(schedule_of(recipe), [0, 512, 5000])


@pytest.mark.parametrize(("width", "warmup_steps"), [(512, 4000), (8, 4000), (256, 100)])
def test_the_transformers_rates_are_those_of_its_paper(width, warmup_steps):
    # width^-0.5 min(s^-0.5, s warmup_steps^-1.5), whose largest, at s = warmup_steps, is what the recipe names.
    steps = [0, 1, warmup_steps - 2, warmup_steps - 1, warmup_steps, 1999, 15_999, 79_999]
    expected = [min((s + 1) ** -0.5, (s + 1) * warmup_steps**-1.5) * width**-0.5 for s in steps]
    recipe = WarmUpInverseSquareRoot(lr=(width * warmup_steps) ** -0.5, warmup_steps=warmup_steps)
    assert rates(schedule_of(recipe), steps) == pytest.approx(expected, rel=1e-7)


def test_the_largest_rate_is_that_of_the_last_update_of_the_warm_up():
    seen = rates(schedule_of(WarmUpInverseSquareRoot(lr=0.5, warmup_steps=40)), range(100))
    assert max(seen) == seen[39] == 0.5


@pytest.mark.parametrize(
    ("recipe", "total_steps", "marks"),
    [
        (InverseSquareRoot(lr=0.1), 500_000, {0: "start", 512: "first drop", 499_999: "last step"}),
        (InverseSquareRoot(lr=0.1), 300, {0: "start", 299: "last step"}),
        (InverseSquareRoot(lr=0.1), 513, {0: "start", 512: "last step"}),
        (
            WarmUpInverseSquareRoot(lr=0.1, warmup_steps=4000),
            80_000,
            {0: "start", 3999: "end of warm-up", 79_999: "last step"},
        ),
        (WarmUpInverseSquareRoot(lr=0.1, warmup_steps=4000), 900, {0: "start", 899: "last step"}),
    ],
)
def test_marked_steps_stay_within_a_run_and_tell_their_rates(recipe, total_steps, marks):
    schedule = schedule_of(recipe)
    steps, labels, lrs = zip(*schedule.marked_steps(total_steps))
    assert dict(zip(steps, labels)) == marks
    assert list(lrs) == rates(schedule, steps)


@pytest.mark.parametrize("recipe", [InverseSquareRoot(lr=0.1), WarmUpInverseSquareRoot(lr=0.1, warmup_steps=4)])
def test_it_holds_nothing(recipe):
    assert schedule_of(recipe).variables == []

"""The warm-up schedule of SHA-RNN: the author's counter, the cooldown, the second pass."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from flags.schedules import WarmUp
from trainers.optimizers import build_schedule
from trainers.optimizers.schedules import WarmUpRate

LR = 2e-3


def warm_up(second_pass_step=None, **fields):
    recipe = WarmUp(**({"lr": LR, "warmup_steps": 800} | fields))
    return build_schedule(
        recipe, global_batch=16, steps_per_epoch=5646, total_steps=9, second_pass_step=second_pass_step
    )


def rates(schedule, steps):
    return [float(schedule(tf.constant(step, tf.int64))) for step in steps]


def test_the_first_update_has_the_rate_of_counter_one():
    assert rates(warm_up(), [0, 1, 399]) == pytest.approx([LR / 800, LR / 400, LR / 2], rel=1e-7)


def test_the_rate_is_constant_from_update_800_on():
    assert rates(warm_up(), [798, 799, 800, 200_000]) == pytest.approx([LR * 799 / 800, LR, LR, LR], rel=1e-7)


def test_a_warm_up_of_one_step_is_none():
    assert rates(warm_up(warmup_steps=1), [0, 1, 10]) == pytest.approx([LR] * 3)


def test_every_rate_is_the_float64_rule_rounded_once():
    schedule = warm_up(cooldown_steps=2000, second_pass_step=3500)
    counters = np.concatenate([np.arange(3500), np.arange(1000)]) + 1.0
    factor = np.minimum(counters, 800) / 800 - np.clip((counters - 2000) / 2000, 0, 1)
    lr = np.where(np.arange(4500) < 3500, LR, 0.5 * LR)
    expected = (lr * np.maximum(factor, 0)).astype("float32")
    np.testing.assert_array_max_ulp(schedule(tf.range(4500, dtype=tf.int64)).numpy(), expected, maxulp=1)


def test_a_cooldown_falls_from_its_step_to_zero_at_twice_that_and_stays_there():
    schedule = warm_up(warmup_steps=10, cooldown_steps=100)
    assert rates(schedule, [98, 99, 100, 149, 199, 200, 10_000]) == pytest.approx(
        [LR, LR, LR * 0.99, LR / 2, 0, 0, 0], rel=1e-6
    )


def test_a_cooldown_within_the_warm_up_never_makes_the_rate_negative():
    assert min(rates(warm_up(warmup_steps=1000, cooldown_steps=10), range(30))) == 0


def test_the_second_pass_warms_up_and_cools_down_anew_at_its_own_rate():
    one = warm_up(warmup_steps=10, cooldown_steps=100)
    both = warm_up(warmup_steps=10, cooldown_steps=100, second_pass_factor=0.25, second_pass_step=150)
    assert rates(both, range(150)) == rates(one, range(150))
    assert rates(both, range(150, 400)) == pytest.approx([rate / 4 for rate in rates(one, range(250))], rel=1e-6)


def test_it_holds_nothing_and_ignores_what_it_is_told():
    schedule = warm_up()
    schedule.after_step(tf.constant(0, tf.int64), {"loss": tf.constant(1.0)})
    schedule.after_evaluation(1.1)
    assert schedule.variables == [] and rates(schedule, [0]) == rates(warm_up(), [0])


def test_marked_steps_of_two_passes():
    schedule = warm_up(warmup_steps=10, cooldown_steps=100, second_pass_step=150)
    steps, labels, lrs = zip(*schedule.marked_steps(300))
    assert list(zip(steps, labels)) == [
        (0, "start"),
        (9, "end of warm-up"),
        (100, "cooldown"),
        (150, "second pass"),
        (159, "end of warm-up"),
        (250, "cooldown"),
        (299, "last step"),
    ]
    expected = [LR / 10, LR, LR * 0.99, LR / 20, LR / 2, LR / 2 * 0.99, LR / 2 * 0.5]
    assert lrs == pytest.approx(expected, rel=1e-6)


def test_marked_steps_stay_within_a_run_and_within_a_pass():
    assert [mark[:2] for mark in warm_up().marked_steps(500)] == [(0, "start"), (499, "last step")]
    assert [mark[:2] for mark in warm_up(second_pass_step=500).marked_steps(900)] == [
        (0, "start"),
        (500, "second pass"),
        (899, "last step"),
    ]
    assert [mark[:2] for mark in warm_up(second_pass_step=500).marked_steps(400)] == [(0, "start"), (399, "last step")]


def test_an_optimizer_reads_the_rate_at_its_own_step():
    schedule = warm_up(second_pass_step=1000)
    optimizer = keras.optimizers.SGD(schedule)
    for step in (10, 1010):
        optimizer.iterations.assign(step)
        assert float(tf.function(lambda: tf.identity(optimizer.learning_rate))()) == float(schedule(step))


def test_configuration_survives_a_round_trip():
    schedule = warm_up(cooldown_steps=100, second_pass_step=150)
    restored = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert isinstance(restored, WarmUpRate)
    assert (restored.recipe, restored.second_pass_step) == (schedule.recipe, 150)

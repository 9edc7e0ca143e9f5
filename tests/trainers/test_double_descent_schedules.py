"""The learning rates of double descent: falling as an inverse root, after a warm-up, or when the loss stands still."""

import math

import pytest
import tensorflow as tf

from flags.optimization import DynamicDrop, InverseSquareRoot, WarmUpInverseSquareRoot
from trainers.optimizers.schedules import build_schedule


def schedule_of(recipe):
    return build_schedule(recipe, global_batch=128, steps_per_epoch=391)


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.1), (511, 0.1), (512, 0.1 / math.sqrt(2)), (1535, 0.1 / math.sqrt(3)), (499_999, 0.1 / math.sqrt(977))],
)
def test_sgd_falls_every_512_steps_with_the_inverse_root(step, rate):
    assert float(schedule_of(InverseSquareRoot(lr=0.1))(step)) == pytest.approx(rate, rel=1e-7)


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.25e-3), (1999, 0.5), (3999, 1.0), (15_999, 0.5), (79_999, 1 / math.sqrt(20))]
)
def test_the_transformer_warms_up_and_falls_with_the_inverse_root(step, rate):
    assert float(schedule_of(WarmUpInverseSquareRoot(lr=1.0, warmup_steps=4000))(step)) == pytest.approx(rate, rel=1e-7)


def rates_over(losses, **settings):
    """The rate before each update of a run with these losses."""
    schedule, rates = schedule_of(DynamicDrop(lr=1.0, factor=0.5, window=2, patience=4, **settings)), []
    for step, loss in enumerate(losses):
        rates.append(float(schedule(step)))
        schedule.after_step(tf.constant(step, tf.int64), {"loss": tf.constant(loss)})
    return rates


def test_a_rate_stays_while_the_loss_falls():
    assert rates_over([10.0 - step for step in range(10)]) == [1.0] * 10


def test_a_rate_drops_when_patience_is_over():
    assert rates_over([3.0, 3.0, 5.0, 5.0, 5.0, 5.0, 5.0]) == [1.0] * 6 + [0.5]


def test_after_a_drop_patience_begins_anew():
    assert rates_over([3.0, 3.0] + [5.0] * 9) == [1.0] * 6 + [0.5] * 4 + [0.25]


def test_a_single_low_batch_sets_no_record():
    # Comparing batches, the lucky 0.1 could never be beaten and the rate would drop.
    assert rates_over([4.0, 4.0, 0.1, 7.0, 3.0, 3.0, 2.0, 2.0, 1.0]) == [1.0] * 9


def test_a_restored_schedule_goes_on():
    losses = [3.0, 3.0] + [5.0] * 5
    whole, resumed = (schedule_of(DynamicDrop(lr=1.0, window=2, patience=4)) for _ in range(2))
    for step, loss in enumerate(losses):
        whole.after_step(tf.constant(step, tf.int64), {"loss": tf.constant(loss)})
        if step == 3:
            for old, new in zip(whole.variables, resumed.variables):
                new.assign(old)
        elif step > 3:
            resumed.after_step(tf.constant(step, tf.int64), {"loss": tf.constant(loss)})
    assert [float(v) for v in whole.variables] == [float(v) for v in resumed.variables]


@pytest.mark.parametrize(
    "recipe",
    [InverseSquareRoot(lr=0.2, period=7), WarmUpInverseSquareRoot(lr=0.2, warmup_steps=3), DynamicDrop(lr=0.2)],
)
def test_a_saved_schedule_comes_back(recipe):
    schedule = schedule_of(recipe)
    assert type(schedule).from_config(schedule.get_config()).recipe == recipe

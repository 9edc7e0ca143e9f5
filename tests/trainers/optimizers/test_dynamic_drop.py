"""A rate that drops when the training loss has stood still for long enough."""

import tensorflow as tf

from flags.schedules import DynamicDrop
from trainers.optimizers import build_schedule


def schedule_of(recipe):
    return build_schedule(recipe, global_batch=128, steps_per_epoch=391, total_steps=10_000)


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

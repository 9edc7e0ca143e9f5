"""The stepwise schedule: exact boundaries, the warm-up that watches the training error, the plateau."""

import pytest
import tensorflow as tf

from flags.schedules import Stepwise
from trainers.optimizers import build_schedule


def stepwise(**fields):
    return build_schedule(
        Stepwise(**({"lr": 0.1, "boundaries": (32_000, 48_000)} | fields)),
        global_batch=128,
        steps_per_epoch=390.6,
        total_steps=64_000,
    )


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.1), (31_999, 0.1), (32_000, 0.01), (47_999, 0.01), (48_000, 0.001), (63_999, 0.001)]
)
def test_the_rate_falls_at_the_iteration_that_the_paper_names(step, rate):
    assert float(stepwise()(tf.constant(step, tf.int64))) == pytest.approx(rate, rel=1e-6)


def train(schedule, errors):
    """Tells of one update after the other; returns the rates that they had."""
    rates = []
    for step, error in enumerate(errors):
        rates.append(float(schedule(step)))
        schedule.after_step(tf.constant(step, tf.int64), {"top1": tf.constant(1 - error)})
    return rates


def test_warm_up_ends_when_a_hundred_updates_have_less_than_80_percent_error():
    errors = [0.9] * 100 + [0.85] * 50 + [0.74] * 50 + [0.9] * 50
    rates = train(stepwise(warmup_lr=0.01, warmup_error=0.8), errors)
    assert rates == pytest.approx([0.01] * 200 + [0.1] * 50)  # 0.795 on average from 100 to 199


def test_without_a_warm_up_the_error_changes_nothing():
    assert train(stepwise(), [0.9] * 150) == pytest.approx([0.1] * 150)
    assert stepwise().variables == []


def test_a_warm_up_goes_on_from_its_variables():
    errors = [0.9] * 100 + [0.5] * 150
    unbroken = train(stepwise(warmup_lr=0.01), errors)
    first, second = stepwise(warmup_lr=0.01), stepwise(warmup_lr=0.01)
    begun = train(first, errors[:130])
    for variable, saved in zip(second.variables, first.variables, strict=True):
        variable.assign(saved)
    rest = []
    for step in range(130, 250):
        rest.append(float(second(step)))
        second.after_step(tf.constant(step, tf.int64), {"top1": tf.constant(1 - errors[step])})
    assert begun + rest == unbroken


def evaluate(schedule, values):
    rates = []
    for value in values:
        schedule.after_evaluation(value)
        rates.append(float(schedule(10**9)))
    return rates


def test_a_plateau_divides_the_rate_after_its_patience():
    schedule = stepwise(drops="plateau", patience=2, min_improvement=0.01)
    assert evaluate(schedule, [0.5, 0.6, 0.605, 0.6]) == pytest.approx([0.1, 0.1, 0.1, 0.01])


def test_an_improvement_makes_the_plateau_count_anew():
    schedule = stepwise(drops="plateau", patience=2, min_improvement=0.01)
    assert evaluate(schedule, [0.5, 0.5, 0.6, 0.6, 0.6]) == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.01])


def test_there_are_no_more_plateaus_than_boundaries():
    schedule = stepwise(drops="plateau", patience=1)
    assert evaluate(schedule, [0.5] * 6)[-1] == pytest.approx(0.001)


def test_a_plateau_goes_on_from_its_variables():
    first, second = (stepwise(drops="plateau", patience=3) for _ in range(2))
    evaluate(first, [0.5, 0.5, 0.5])
    for variable, saved in zip(second.variables, first.variables, strict=True):
        variable.assign(saved)
    assert evaluate(second, [0.5]) == pytest.approx([0.01])


def test_drops_at_boundaries_ignore_evaluations():
    assert evaluate(stepwise(), [0.5] * 20)[-1] == pytest.approx(0.001)  # 10^9 updates are past both
    schedule = stepwise()
    evaluate(schedule, [0.5] * 20)
    assert float(schedule(0)) == pytest.approx(0.1)


def test_two_replicas_hold_the_same_warm_up(two_replicas):
    with two_replicas.scope():
        schedule = stepwise(warmup_lr=0.01)

    @tf.function
    def step(number):
        two_replicas.run(lambda: schedule.after_step(number, {"top1": tf.constant(0.9)}))

    for number in range(100):
        step(tf.constant(number, tf.int64))
    values = [two_replicas.experimental_local_results(v) for v in schedule.variables]
    assert [[float(x) for x in pair] for pair in values] == [[0.0, 0.0], [0.0, 0.0]]


def test_two_replicas_hold_the_same_plateau(two_replicas):
    with two_replicas.scope():
        schedule = stepwise(drops="plateau", patience=1)
    evaluate(schedule, [0.5, 0.5])
    values = [two_replicas.experimental_local_results(v) for v in schedule.variables]
    assert [[float(x) for x in pair] for pair in values] == [[1.0, 1.0], [0.5, 0.5], [0.0, 0.0]]


def test_marked_steps_name_the_drops():
    steps, labels, rates = zip(*stepwise().marked_steps(64_000))
    assert steps == (0, 32_000, 48_000, 63_999) and labels == ("start", "drop 1", "drop 2", "last step")
    assert rates == pytest.approx((0.1, 0.01, 0.001, 0.001))


def test_marked_steps_tell_of_the_warm_up():
    (_, label, first), (_, _, after), *_ = stepwise(warmup_lr=0.02).marked_steps(64_000)
    assert "below 80%" in label and (first, after) == (0.02, pytest.approx(0.01))


def test_marked_steps_know_no_plateau_in_advance():
    ((step, label, rate),) = stepwise(drops="plateau").marked_steps(64_000)
    assert (step, rate) == (0, 0.1) and "2 plateaus" in label

import dataclasses

import pytest

from flags.training import Train
from trainers.loop.windows import Calls, Evaluations, RunLength, Window

RUN = RunLength(total=100, per_epoch=10.0)
TRAIN = Train(global_batch=8, steps=100, log_every=10, eval_every=25, checkpoint_every=40)


def steps_of(calls, total, seconds_per_step=0.0):
    step, ends = 0, []
    while step < total:
        steps = calls.steps_from(step)
        calls.took(steps, steps * seconds_per_step, compiled=step == 0)
        step += steps
        ends.append(step)
    return ends


def test_no_call_crosses_a_step_at_which_something_happens():
    ends = steps_of(Calls(TRAIN, RUN, profile=(33, 37), timed=False), 100)
    assert ends == [10, 20, 25, 30, 33, 37, 40, 50, 60, 70, 75, 80, 90, 100]


def test_calls_of_one_machine_stay_near_two_seconds():
    calls = Calls(TRAIN, RUN, profile=None, timed=True)
    assert steps_of(calls, 100, seconds_per_step=0.5)[:4] == [1, 2, 6, 10]


def test_a_slow_step_still_gets_a_call_of_its_own():
    calls = Calls(TRAIN, RunLength(total=3, per_epoch=10.0), profile=None, timed=True)
    assert steps_of(calls, 3, seconds_per_step=60.0) == [1, 2, 3]


def test_a_window_weighs_its_calls_by_their_steps():
    window = Window("example")
    common = {"parameter_norm": 1.0, "l2": 0.1, "lr": 0.1, "stops": 0.0, "first_nonfinite": -1.0}
    window.add({"loss": 4.0, "waited": 0.1, **common}, steps=1, units=8, seconds=1.0)
    window.add({"loss": 1.0, "waited": 0.3, **common, "l2": 0.2, "lr": 0.01}, steps=3, units=24, seconds=1.0)
    numbers = window.close()
    assert numbers == pytest.approx(
        {"loss": 1.75, "parameter_norm": 1.0, "l2": 0.2, "lr": 0.01, "examples_per_second": 16.0, "waiting": 0.2}
    )


def test_no_call_crosses_the_end_of_the_first_pass():
    steps = RunLength(total=30, per_epoch=10.0, first_pass=22)
    assert steps_of(Calls(TRAIN, steps, profile=None, timed=False), 30) == [10, 20, 22, 25, 30]


def test_a_text_is_measured_in_its_own_unit():
    window = Window("byte")
    window.add({"waited": 0.0, "parameter_norm": 1.0, "l2": 0.0, "lr": 0.1}, steps=2, units=3000, seconds=1.5)
    assert window.close()["bytes_per_second"] == 2000


def test_evaluations_come_at_log_spaced_steps():
    train = dataclasses.replace(TRAIN, steps=1000, evals_per_decade=3)
    evaluations = Evaluations(train)
    assert [step for step in range(1, 1001) if step in evaluations] == [1, 2, 5, 10, 22, 46, 100, 215, 464, 1000]


def test_without_log_spacing_evaluations_come_every_so_many_steps():
    evaluations = Evaluations(TRAIN)
    assert [step for step in range(1, 101) if step in evaluations] == [25, 50, 75, 100]


def test_no_call_crosses_a_log_spaced_evaluation():
    train = dataclasses.replace(TRAIN, log_every=1000, checkpoint_every=1000, evals_per_decade=2)
    assert steps_of(Calls(train, RUN, profile=None, timed=False), 100) == [1, 3, 10, 32, 100]

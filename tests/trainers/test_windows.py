import pytest

from flags.recipe import Train
from trainers.windows import Calls, Window

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
    ends = steps_of(Calls(TRAIN, 100, profile=(33, 37), timed=False), 100)
    assert ends == [10, 20, 25, 30, 33, 37, 40, 50, 60, 70, 75, 80, 90, 100]


def test_calls_of_one_machine_stay_near_two_seconds():
    calls = Calls(TRAIN, 100, profile=None, timed=True)
    assert steps_of(calls, 100, seconds_per_step=0.5)[:4] == [1, 2, 6, 10]


def test_a_slow_step_still_gets_a_call_of_its_own():
    assert steps_of(Calls(TRAIN, 3, profile=None, timed=True), 3, seconds_per_step=60.0) == [1, 2, 3]


def test_a_window_weighs_its_calls_by_their_steps():
    window = Window(global_batch=8)
    common = {"parameter_norm": 1.0, "l2": 0.1, "lr": 0.1, "stops": 0.0, "first_nonfinite": -1.0}
    window.add({"loss": 4.0, "waited": 0.1, **common}, steps=1, seconds=1.0)
    window.add({"loss": 1.0, "waited": 0.3, **common, "l2": 0.2, "lr": 0.01}, steps=3, seconds=1.0)
    numbers = window.close()
    assert numbers == pytest.approx(
        {"loss": 1.75, "parameter_norm": 1.0, "l2": 0.2, "lr": 0.01, "examples_per_second": 16.0, "waiting": 0.2}
    )

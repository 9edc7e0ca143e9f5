"""The search for the effective model complexity, on made-up errors."""

import numpy as np
import pytest

from flags.errors import RunError
from flags.sweep import Ladder, Sweep
from trainers.sweeps.emc import ends, error_of, wanted
from trainers.sweeps.plan import Finished, plan_of

EPS = 0.1
LADDER = Ladder(first=100, last=1600, factor=2.0, eps=(EPS,))  # rungs 100, 200, 400, 800, 1600


def search(passes, ladder=LADDER):
    """Tries what is wanted until nothing is; returns every round and the ends that were found."""
    means, rounds = {}, []
    while counts := wanted(means, EPS, ladder):
        rounds.append(counts)
        means |= {count: 0.0 if passes(count) else 1.0 for count in counts}
    return rounds, ends(means, EPS)


def test_errors_are_those_of_the_training_examples():
    results = {"fit": {"top1": 0.75, "squared_error": 0.5}}
    assert (error_of(results, "zero_one"), error_of(results, "squared")) == (0.25, 0.5)


def test_an_error_that_was_not_measured_is_named():
    with pytest.raises(RunError, match="fit.squared_error"):
        error_of({"fit": {"top1": 1.0}}, "squared")


def test_the_ladder_is_climbed_to_two_rungs_above_the_first_that_fails():
    rounds, _ = search(lambda count: count <= 150)
    assert rounds[:2] == [[100, 200, 400], [800]]


def test_every_recipe_is_also_trained_on_as_many_examples_as_are_compared():
    ladder = Ladder(first=100, last=1600, factor=2.0, eps=(EPS,), at=1200)
    rounds, _ = search(lambda count: count <= 150, ladder)
    assert rounds[0] == [1200, 100, 200, 400]


def test_the_bracket_is_halved_until_its_ends_are_a_tenth_apart():
    _, (low, high) = search(lambda count: count <= 537)
    assert low <= 537 < high < 1.1 * low


def test_neighbouring_numbers_are_a_bracket_however_far_apart_as_a_share():
    _, found = search(lambda count: count <= 3, Ladder(first=1, last=16, factor=2.0, eps=(EPS,)))
    assert found == (3, 4)


def test_a_pass_above_a_fail_counts():
    _, (low, high) = search(lambda count: count <= 150 or 390 <= count <= 420)
    assert 400 <= low <= 420 < high < 1.1 * low


def test_every_pass_is_censored_at_all_examples():
    rounds, found = search(lambda count: True)
    assert found == (1600, None)
    assert rounds == [[100, 200, 400], [800, 1600]]


def test_no_pass_has_no_lower_end():
    rounds, found = search(lambda count: False)
    assert found == (None, 100)
    assert rounds == [[100, 200, 400]]


def test_the_border_passes_though_float32_rounds_it():
    one_wrong_of_ten = error_of({"fit": {"top1": float(np.float32(0.9))}}, "zero_one")
    assert one_wrong_of_ten > EPS
    assert ends({100: one_wrong_of_ten, 200: 0.1001}, EPS) == (100, 200)


# The plan of a sweep

SWEEP = Sweep(grid={"model.k": (1, 4)}, seeds=(0, 1), ladder=LADDER)


def run_plan(sweep, top1):
    """Finishes all trials that a plan asks for, `top1` of their values and seed on the training examples."""
    plan, finished = plan_of(sweep), []
    while trials := plan.next_trials(finished):
        finished += [Finished(trial, {"fit": {"top1": top1(trial.values, trial.seed)}}) for trial in trials]
    return plan, finished


def test_every_point_gets_its_own_bracket():
    plan, finished = run_plan(SWEEP, lambda values, seed: float(values["data.num_train"] <= 150 * values["model.k"]))
    narrow, wide = plan.brackets(finished)
    assert (narrow["point"], wide["point"]) == ({"model.k": 1}, {"model.k": 4})
    assert narrow["low"] <= 150 < narrow["high"] and wide["low"] <= 600 < wide["high"]
    assert narrow["complete"] and not narrow["censored"]


def test_the_mean_over_seeds_decides_and_every_seeds_error_is_kept():
    plan, finished = run_plan(SWEEP, lambda values, seed: 1.0 if values["data.num_train"] <= 100 else 0.85 + 0.1 * seed)
    bracket = plan.brackets(finished)[0]
    assert (bracket["low"], bracket["censored"]) == (1600, True)
    assert bracket["g"]["200"]["mean"] == pytest.approx(0.1)
    assert bracket["g"]["200"]["seeds"] == pytest.approx({"0": 0.15, "1": 0.05})


def test_each_eps_has_a_bracket_and_they_share_trials():
    ladder = Ladder(first=100, last=1600, factor=2.0, eps=(0.05, 0.3))
    sweep = Sweep(grid={}, ladder=ladder)
    plan, finished = run_plan(sweep, lambda values, seed: 1 - values["data.num_train"] / 4200)
    strict, mild = plan.brackets(finished)
    assert strict["low"] <= 210 < strict["high"] and mild["low"] <= 1260 < mild["high"]
    names = [one.trial.name for one in finished]
    assert len(set(names)) == len(names)


def test_a_bracket_is_open_until_it_is_found():
    plan = plan_of(SWEEP)
    first = plan.next_trials([])[0]
    assert first.name == "k1-num_train100-seed0"
    bracket = plan.brackets([Finished(first, {"fit": {"top1": 1.0}})])[0]
    assert (bracket["low"], bracket["high"], bracket["complete"], bracket["censored"]) == (None, None, False, False)
    assert bracket["g"] == {"100": {"mean": None, "seeds": {"0": 0.0}}}

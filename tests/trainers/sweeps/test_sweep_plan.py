"""What a sweep plans, keeps in its folder, and says of its end, without a trial being run."""

import json

import pytest

from flags import run as run_flags
from flags.errors import UserError
from flags.sweep import Ladder, Sweep, Trial
from trainers.sweeps.eta import estimate, remaining
from trainers.sweeps.folder import SweepFolder
from trainers.sweeps.plan import Finished, plan_of
from trainers.sweeps.trial_queue import STOPPED, TrialQueue, TrialResult

GRID = Sweep(grid={"model.k": (1, 2, 4), "data.label_noise": (0.0, 0.2)}, seeds=(0, 1))
LADDER = Sweep(grid={"model.k": (1, 2, 4)}, seeds=(0, 1), ladder=Ladder(first=10, last=80, factor=2.0, eps=(0.1,)))


def names(trials):
    return [trial.name for trial in trials]


def write(folder, trial, seconds=1.0, **results):
    path = folder.trial(trial).path
    path.mkdir(parents=True, exist_ok=True)
    (path / "results.json").write_text(json.dumps({"seconds": seconds, "metrics": {}, **results}))


# Plans


def test_of_a_grid_what_is_not_finished_is_wanted_in_its_order():
    trials = GRID.trials
    finished = [Finished(trials[1], {}), Finished(trials[4], {})]
    assert plan_of(GRID).next_trials(finished) == [trials[i] for i in range(12) if i not in (1, 4)]


@pytest.mark.parametrize("sweep", [GRID, LADDER])
@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_shards_share_nothing_and_leave_nothing(sweep, parts):
    shards = [names(plan_of(sweep, (part, parts)).next_trials([])) for part in range(1, parts + 1)]
    together = [name for shard in shards for name in shard]
    assert sorted(together) == sorted(names(plan_of(sweep).next_trials([])))
    assert len(set(together)) == len(together)


# The folder


def described(tmp_path, *arguments, experiment="dd_cnn5_cifar10"):
    """Claims a folder for what a command line asks for; returns the folder."""
    run = run_flags.parse(["main", "--mode=sweep", "--data=sample", f"--experiment={experiment}", *arguments])
    folder = SweepFolder(tmp_path)
    folder.claim(run, "sample", run.recipe_for("sample"), run.sweep_for("sample"))
    return folder


def test_the_plan_says_what_varies_over_which_values_and_in_which_folders(tmp_path):
    folder = described(tmp_path, "--grid=model.k=1,2", "--grid=data.label_noise=0.4", "--set=train.steps=7")
    plan = json.loads(folder.plan.read_text())
    assert (plan["experiment"], plan["data"], plan["seeds"]) == ("dd_cnn5_cifar10", "sample", [0])
    assert plan["grid"] == {"data.label_noise": [0.4], "model.k": [1, 2]}
    assert plan["varies"] == ["model.k"]
    assert plan["overrides"] == ["train.steps=7"] and plan["recipe"]["train.steps"] == 7
    assert plan["folders"] == ["label_noise0.4-k1-seed0", "label_noise0.4-k2-seed0"]


def test_a_grid_may_grow(tmp_path):
    described(tmp_path, "--grid=model.k=1,2")
    folder = described(tmp_path, "--grid=model.k=1,2,3", "--seeds=0,1")
    assert json.loads(folder.plan.read_text())["grid"]["model.k"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "difference"),
    [
        (["--grid=model.k=1,3"], "model.k: 1,2 -> 1,3"),
        (["--grid=model.k=1,2", "--seeds=1"], "seeds: 0 -> 1"),
        (["--grid=model.k=1,2", "--set=train.log_every=7"], "train.log_every: 500 -> 7"),
        (["--grid=model.k=1,2", "--precision=mixed_bfloat16"], "precision: auto -> mixed_bfloat16"),
        (["--grid=model.k=1,2", "--grid=train.steps=1,2"], "grid: data.label_noise, model.k, seeds ->"),
    ],
)
def test_another_sweep_is_refused_with_the_difference(tmp_path, arguments, difference):
    described(tmp_path, "--grid=model.k=1,2")
    with pytest.raises(UserError, match="contains another sweep") as raised:
        described(tmp_path, *arguments)
    assert difference in str(raised.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"grid": 1}'])
def test_a_plan_that_cannot_be_read_is_one_clear_line(tmp_path, text):
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(UserError, match="sweep.json: not the plan of a sweep"):
        described(tmp_path)


def test_the_folder_of_a_run_is_not_taken(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="contains a run"):
        described(tmp_path)


def test_two_sweeps_never_run_in_one_folder(tmp_path):
    with SweepFolder(tmp_path).locked(None), pytest.raises(UserError, match="process .* is writing this folder"):
        SweepFolder(tmp_path).locked(None).__enter__()


def test_the_parts_of_a_sweep_run_at_once_each_of_them_once(tmp_path):
    with SweepFolder(tmp_path).locked((1, 2)), SweepFolder(tmp_path).locked((2, 2)):
        for taken in ((1, 2), None):
            with pytest.raises(UserError, match="is writing this folder"):
                SweepFolder(tmp_path).locked(taken).__enter__()


# What became of trials


def test_finished_trials_are_those_with_results(tmp_path):
    folder = SweepFolder(tmp_path)
    write(folder, GRID.trials[2])
    (folder.trial(GRID.trials[3]).path).mkdir()
    (folder.trial(GRID.trials[3]).results).write_text('{"cut by a ki')
    queue = TrialQueue(plan_of(GRID), folder)
    assert names(one.trial for one in queue.finished) == [GRID.trials[2].name]
    assert len(queue.waiting()) == 11


def test_a_trial_is_under_way_then_finished_or_failed_and_is_not_given_again(tmp_path):
    folder = SweepFolder(tmp_path)
    queue = TrialQueue(plan_of(GRID), folder)
    first, second, third = queue.waiting()[:3]
    for trial in (first, second, third):
        queue.start(trial)
    assert len(queue.waiting()) == 9
    write(folder, first)
    queue.end(TrialResult(first, 0))
    queue.end(TrialResult(second, -9, "killed by SIGKILL"))
    queue.end(TrialResult(third, 0))  # without results
    assert names(one.trial for one in queue.finished) == [first.name]
    assert {name: ending.why for name, ending in queue.failed.items()} == {
        second.name: "killed by SIGKILL",
        third.name: "it wrote no results",
    }
    assert not queue.running and len(queue.waiting()) == 9


def test_a_trial_that_others_stop_is_given_again_and_not_for_ever(tmp_path):
    queue = TrialQueue(plan_of(GRID), SweepFolder(tmp_path))
    trial = queue.waiting()[0]
    for _ in range(3):
        assert queue.waiting()[0] == trial
        queue.start(trial)
        queue.end(TrialResult(trial, STOPPED, "status 75"))
    assert list(queue.failed) == [trial.name]


# How long it takes


def trial(**values):
    return Trial(values={f"model.{name}": value for name, value in values.items()}, seed=0)


def test_an_estimate_follows_the_cost_of_width():
    took = [(trial(k=k, noise=noise), 0.01 * (1 + k) ** 2) for k in (1, 64) for noise in (0.0, 0.4)]
    middle, wide = estimate([trial(k=16, noise=0.2), trial(k=64, noise=0.2)], took)
    assert middle == pytest.approx(0.01 * 17**2, rel=0.1)
    assert wide == pytest.approx(0.01 * 65**2, rel=0.1)


def test_without_anything_that_varies_the_mean_is_expected():
    assert estimate([Trial(values={}, seed=2)], [(Trial(values={}, seed=s), 3.0) for s in (0, 1)]) == pytest.approx([3])


def test_names_say_nothing_of_the_cost():
    assert estimate([trial(name="a")], [(trial(name="b"), 5.0)]) == pytest.approx([5])


def test_what_is_left_is_divided_by_the_trials_at_once_and_never_below_the_longest(tmp_path):
    folder = SweepFolder(tmp_path)
    assert remaining(TrialQueue(plan_of(GRID), folder), 2) is None
    for one in GRID.trials[:2]:
        write(folder, one, seconds=10.0)
    queue = TrialQueue(plan_of(GRID), folder)
    assert remaining(queue, 2) == pytest.approx(50)
    assert remaining(queue, 100) == pytest.approx(10)

"""The trials of a sweep, their names and their order."""

import pytest

from flags import catalog, overrides, run
from flags.errors import UserError
from flags.sweep import Ladder, Sweep

SWEEPS = [
    sweep
    for name in catalog.names()
    for sweep in (catalog.get(name).sweep, catalog.get(name).sample_sweep)
    if sweep is not None
]


def values_of(sweep):
    return [(tuple(trial.values.values()), trial.seed) for trial in sweep.trials]


def test_the_trials_are_the_product_of_the_grid_with_every_seed():
    sweep = Sweep(grid={"model.k": (1, 2), "data.label_noise": (0.0, 0.2)}, seeds=(0, 1))
    assert sorted(values_of(sweep)) == [((k, noise), seed) for k in (1, 2) for noise in (0.0, 0.2) for seed in (0, 1)]


def test_an_axis_begins_at_its_ends_and_goes_on_in_the_middles():
    sweep = Sweep(grid={"model.k": tuple(range(9))})
    assert [point[0] for point, _ in values_of(sweep)] == [0, 8, 4, 2, 6, 1, 3, 5, 7]


def test_each_place_of_the_longest_axis_is_trained_for_all_other_values():
    sweep = Sweep(grid={"data.label_noise": (0.2, 0.4), "model.k": (1, 2, 3)})
    assert [point[1] for point, _ in values_of(sweep)] == [1, 1, 3, 3, 2, 2]


def test_a_seed_goes_through_the_grid_before_the_next_begins():
    sweep = Sweep(grid={"model.k": (1, 2, 3)}, seeds=(5, 6))
    assert [trial.seed for trial in sweep.trials] == [5, 5, 5, 6, 6, 6]


def test_a_trial_is_named_after_what_varies():
    sweep = Sweep(grid={"model.k": (4,), "data.label_noise": (0.2,)})
    assert [trial.name for trial in sweep.trials] == ["k4-label_noise0.2-seed0"]


@pytest.mark.parametrize("sweep", SWEEPS)
def test_no_two_trials_of_an_experiment_share_a_folder(sweep):
    names = [trial.name for trial in sweep.trials]
    assert len(set(names)) == len(names)
    assert not any(character in name for name in names for character in " ,*?[]/")


@pytest.mark.parametrize("values", [(), (1, 1)])
def test_an_axis_has_values_each_once(values):
    with pytest.raises(UserError, match="without duplicates"):
        Sweep(grid={"model.k": values})


@pytest.mark.parametrize("data", ["paper", "sample"])
@pytest.mark.parametrize("name", [name for name in catalog.names() if catalog.get(name).sweep is not None])
def test_every_point_of_a_sweep_is_a_recipe_that_holds_with_its_values(name, data):
    recipe = catalog.variant(catalog.get(name), data)
    assert recipe.sweep.points
    for point in recipe.sweep.points:
        flat = overrides.flatten(overrides.apply(recipe, point.items()))
        assert {path: flat[path] for path in point} == point


def test_a_folder_has_no_character_that_shells_globs_or_lists_take_apart():
    sweep = Sweep(grid={"data.mean": ((0.5, 0.5), (0.0,)), "data.name": ("a b/c*", "d"), "data.subset_seed": (None, 1)})
    assert sweep.trials[0].name == "mean0.5_0.5-namea_b_c_-subset_seedNone-seed0"


def test_values_that_would_share_a_folder_are_refused():
    with pytest.raises(UserError, match="two would share a folder"):
        Sweep(grid={"data.name": ("a b", "a_b")})


# Ladders


def ladder(**changes):
    return Ladder(**{"first": 100, "last": 1000, **changes})


def test_rungs_grow_by_the_factor_and_end_at_the_last():
    assert ladder().rungs == [100, 141, 200, 283, 400, 566, 800, 1000]
    assert ladder(first=1, last=4, factor=1.1).rungs == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "changes",
    [{"first": 0}, {"last": 100}, {"factor": 1.0}, {"refine": 0.0}, {"eps": ()}, {"eps": (0.0,)}, {"at": 1001}],
)
def test_a_ladder_that_leads_nowhere_is_refused(changes):
    with pytest.raises(UserError, match="a ladder"):
        ladder(**changes)


def test_a_ladder_goes_through_a_path_that_is_not_in_the_grid():
    with pytest.raises(UserError, match="data.num_train, which its ladder varies"):
        Sweep(grid={"data.num_train": (1,)}, ladder=ladder())


# The command line

CNN = "--experiment=dd_cnn5_cifar10"


def parsed(*arguments):
    return run.parse(["main", "--mode=sweep", "--data=sample", *arguments])


def test_the_experiments_own_sweep_runs_without_a_flag():
    assert parsed(CNN).sweep_for("sample") == catalog.get("dd_cnn5_cifar10").sample_sweep


def test_a_grid_of_the_command_line_replaces_one_axis_and_adds_another():
    found = parsed(CNN, "--grid=model.k=3,5", "--grid=optimizer.weight_decay=0,1e-4", "--seeds=0,2").sweep_for("sample")
    assert found == Sweep(
        grid={"data.label_noise": (0.2, 0.4), "model.k": (3, 5), "optimizer.weight_decay": (0.0, 1e-4)}, seeds=(0, 2)
    )


def test_an_experiment_without_a_sweep_takes_one_from_the_command_line():
    found = parsed("--experiment=effnet_b0", "--grid=train.global_batch=32,64").sweep_for("sample")
    assert found == Sweep(grid={"train.global_batch": (32, 64)})


def test_values_that_are_lists_have_semicolons_between_them():
    found = parsed("--experiment=effnet_b0", "--grid=data.mean=0.5,0.5,0.5;0,0,0").sweep_for("sample")
    assert found.grid == {"data.mean": ((0.5, 0.5, 0.5), (0.0, 0.0, 0.0))}


def test_trials_have_no_saved_model_unless_it_is_asked_for():
    assert [parsed(CNN).export, parsed(CNN, "--export").export] == [False, True]


def test_a_trial_is_the_run_with_the_values_set():
    trial = parsed(CNN, "--set=train.steps=7").with_values({"model.k": 3, "data.label_noise": 0.1})
    assert trial.overrides == ("train.steps=7", "model.k=3", "data.label_noise=0.1")


def test_the_folder_of_a_sweep_is_beside_that_of_a_run():
    assert str(parsed(CNN).folder_for("sample")) == "runs/dd_cnn5_cifar10/sample-sweep"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--grid=model.q=1"], ["--grid=model.q=1: no such field", "Fields of model: name, k"]),
        (["--grid=model.k=1,x"], ["--grid=model.k=x: must be a whole number"]),
        (["--grid=model.k"], ["a value is missing. Write --grid=model.k=..."]),
        (["--grid=model.k=1,1"], ["model.k", "without duplicates"]),
        (["--grid=data.label_noise=0.1,2"], ["data.label_noise=2"]),
        (["--set=model.k=3"], ["--set=model.k=3: the sweep varies model.k"]),
        (["--seeds=0,0"], ["--seeds=0,0: ", "twice"]),
        (["--seeds=a"], ["--seeds=a: ", "whole number"]),
        (["--seed=1"], ["--seed=1: ", "--seeds=1"]),
        (["--sweep_shard=0/4"], ["--sweep_shard=0/4: ", "from 1/8 to 8/8"]),
        (["--sweep_shard=5/4"], ["--sweep_shard=5/4: ", "from 1/8 to 8/8"]),
        (["--strategy=mirrored"], ["--strategy=mirrored: ", "one device"]),
        (["--devices=gpu:1"], ["--devices=gpu:1: ", "CUDA_VISIBLE_DEVICES"]),
        (["--parallel=2", "--trials_per_gpu=2"], ["Give only one"]),
        (["--ray_address=head:6379"], ["--ray_address=head:6379: ", "--sweep_runner=ray"]),
    ],
)
def test_a_mistake_says_what_is_wrong_and_what_to_do(mistake_of, arguments, words):
    message = mistake_of(parsed, CNN, *arguments)
    for word in words:
        assert word in message


@pytest.mark.parametrize("flag", ["--grid=model.k=1", "--seeds=1", "--sweep_shard=1/2", "--parallel=2"])
def test_a_flag_of_sweeps_means_nothing_elsewhere(mistake_of, flag):
    message = mistake_of(run.parse, ["main", CNN, flag])
    assert "has no effect with --mode=train. Use it with --mode=sweep." in message

"""The trials of a sweep, their names and their order."""

import pytest

from flags import catalog
from flags.errors import UserError
from flags.sweep import Sweep

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
    with pytest.raises(UserError, match="each once"):
        Sweep(grid={"model.k": values})


@pytest.mark.parametrize("name", [name for name in catalog.names() if catalog.get(name).sweep is not None])
def test_every_trial_has_a_recipe_that_holds(name):
    from flags import overrides

    for data in ("paper", "sample"):
        recipe = catalog.variant(catalog.get(name), data)
        for trial in [] if recipe.sweep is None else recipe.sweep.trials[:4]:
            overrides.apply(recipe, trial.values.items())

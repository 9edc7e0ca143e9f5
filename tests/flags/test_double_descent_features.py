"""The recipes of random features and of linear data."""

import pytest

from flags import catalog, overrides

RANDOM_FEATURES = [name for name in catalog.names() if name.startswith("dd_random_features_")]
TWO_LAYERS = ["dd_two_layer_linear", "dd_two_layer_linear_rescaled"]


@pytest.mark.parametrize("data", ["paper", "sample"])
@pytest.mark.parametrize("name", RANDOM_FEATURES)
def test_every_sweep_meets_as_many_features_as_examples_and_both_sides_of_it(name, data):
    recipe = catalog.variant(catalog.get(name), data)
    ratios = []
    for point in recipe.sweep.points:
        trial = overrides.apply(recipe, point.items())
        ratios.append(trial.model.num_features / trial.data.num_train)
    assert 1.0 in ratios
    assert min(ratios) <= 0.5 and max(ratios) >= 4


@pytest.mark.parametrize("name", RANDOM_FEATURES)
def test_features_are_solved_for_in_float64_without_augmentation(name):
    recipe = catalog.get(name)
    assert (recipe.task, recipe.train.steps, recipe.schedule) == ("least_squares", 1, None)
    assert (recipe.data.crop, recipe.data.flip, recipe.optimizer.weight_decay) == ("none", False, 0.0)


def test_the_layers_rates_are_those_of_the_authors():
    # A mean over 100 examples here, a sum there: 8e-5 for both layers; 1e-6 and 8e-5.
    rates = [
        [factor * recipe.schedule.lr / recipe.data.num_train for factor in recipe.optimizer.factors]
        for recipe in map(catalog.get, TWO_LAYERS)
    ]
    assert rates[0] == pytest.approx([8e-5, 8e-5])
    assert rates[1] == pytest.approx([1e-6, 8e-5])


def test_frequencies_scale_is_a_number_or_a_count(mistake_of):
    recipe = catalog.get("dd_random_features_fashion_mnist")
    for text, value in (("num_features", "num_features"), ("0.2", 0.2)):
        assert overrides.parse([f"model.scale={text}"], recipe) == {"model.scale": value}
    message = mistake_of(overrides.parse, ["model.scale=pixels"], recipe)
    assert message.startswith("--set=model.scale=pixels: must be one of input_dim, num_features, or a number")

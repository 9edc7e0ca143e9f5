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


def test_recipes_of_two_layers_differ_in_the_hidden_layers_rate_alone():
    same, rescaled = map(catalog.get, TWO_LAYERS)
    assert (same.optimizer.factors, rescaled.optimizer.factors) == ((1.0, 1.0), (300.0, 1.0))
    for part in ("model", "data", "schedule", "train"):
        assert getattr(same, part) == getattr(rescaled, part)


def test_the_linear_data_are_those_of_the_authors_but_for_more_test_examples():
    data = catalog.get("dd_two_layer_linear").data
    assert (data.dimension, data.num_train, data.noise) == (50, 100, 0.0)
    assert (data.smallest_scale, data.largest_scale) == (1.0, 4.0)


def test_the_output_layer_alone_cannot_fit_the_linear_data():
    recipe = catalog.get("dd_two_layer_linear")
    assert recipe.model.hidden + 1 < recipe.data.num_train


def test_frequencies_scale_is_a_number_or_a_count(mistake_of):
    recipe = catalog.get("dd_random_features_fashion_mnist")
    for text, value in (("num_features", "num_features"), ("0.2", 0.2)):
        assert overrides.parse([f"model.scale={text}"], recipe) == {"model.scale": value}
    message = mistake_of(overrides.parse, ["model.scale=pixels"], recipe)
    assert message.startswith("--set=model.scale=pixels: must be one of input_dim, num_features, or a number")

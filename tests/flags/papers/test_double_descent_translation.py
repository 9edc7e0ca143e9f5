"""The recipes of translation in Deep Double Descent: grids, rates, and what the paper leaves open."""

import pytest

from flags import catalog, overrides

NAMES = (
    "dd_transformer_iwslt14",
    "dd_transformer_iwslt14_full",
    "dd_transformer_iwslt14_samples",
    "dd_transformer_wmt14",
)
SAMPLE_TRIALS = 2 * 4


@pytest.mark.parametrize(
    "name, points",
    [
        ("dd_transformer_iwslt14", 2 * 25),  # d = 8 to 200 by 8, n = 4,000 and 18,000
        ("dd_transformer_iwslt14_full", 64),  # 8 to 512
        ("dd_transformer_iwslt14_samples", 2 * 59),  # n = 4,000 to 120,000 by 2,000
        ("dd_transformer_wmt14", 62),  # 8 to 496
    ],
)
def test_a_figure_has_the_papers_grid(name, points):
    experiment = catalog.get(name)
    assert len(experiment.sweep.points) == points
    assert len(experiment.sample_sweep.points) == SAMPLE_TRIALS


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", ["paper", "sample"])
def test_every_trial_has_a_recipe_that_holds(name, data):
    recipe = catalog.variant(catalog.get(name), data)
    for point in recipe.sweep.points:
        changed = overrides.apply(recipe, point.items())
        assert changed.model.d_model % changed.model.heads == 0


@pytest.mark.parametrize("name", NAMES)
def test_training_is_the_papers(name):
    train = catalog.get(name).train
    assert (train.steps, train.label_smoothing) == (80_000, 0.1)


@pytest.mark.parametrize("d_model", [8, 64, 512])
def test_the_rate_follows_the_width_in_a_sweep(d_model):
    recipe = overrides.apply(catalog.get("dd_transformer_iwslt14"), [("model.d_model", d_model)])
    assert recipe.rate.lr == pytest.approx(d_model**-0.5 * 4_000**-0.5)


def test_a_rate_that_was_set_is_taken():
    recipe = overrides.apply(catalog.get("dd_transformer_iwslt14"), [("schedule.lr", 1e-3), ("model.d_model", 8)])
    assert recipe.rate.lr == 1e-3


def test_a_width_that_heads_do_not_divide_is_refused(mistake_of):
    message = mistake_of(overrides.apply, catalog.get("dd_transformer_iwslt14"), [("model.d_model", 12)])
    assert message == "model.d_model=12: must be even, at least 4, and a multiple of model.heads=8"


@pytest.mark.parametrize(
    "field, value", [("micro_batches", 2), ("batch_norm_batch", 32), ("exact_bn_statistics", True)]
)
def test_what_means_nothing_to_sentences_is_refused(field, value, mistake_of):
    message = mistake_of(overrides.apply, catalog.get("dd_transformer_iwslt14"), [(f"train.{field}", value)])
    assert message.startswith(f"train.{field}={str(value).lower()}: no such field.")


@pytest.mark.parametrize("name", NAMES)
def test_what_the_paper_leaves_open_is_said(name):
    said = " ".join(catalog.get(name).deviations)
    for part in ("Adam", "warm-up", "4,096 subwords", "10,000 subwords", "prints 80", "unit", "more data hurts"):
        assert part in said

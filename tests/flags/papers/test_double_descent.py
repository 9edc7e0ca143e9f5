"""The recipes of the figures on images are the paper's (sections 4 to 7 and appendices A and B)."""

import pytest

from flags import catalog
from flags.optimization import Momentum

NETWORKS = {"dd_cnn5_": "cnn5", "dd_resnet18_": "preact_resnet18", "dd_mlp_": "mlp"}
ON_IMAGES = [name for name in catalog.names() if name.startswith(tuple(NETWORKS))]
OF_THE_PAPER = [name for name in ON_IMAGES if not name.startswith("dd_mlp_")]
RATES_OF_SGD = [
    "dd_cnn5_cifar10", "dd_cnn5_cifar10_augmented", "dd_cnn5_cifar100", "dd_cnn5_cifar10_weight_decay",
    "dd_cnn5_cifar10_ensemble", "dd_cnn5_cifar10_epochs", "dd_cnn5_cifar10_samples_noise10",
    "dd_cnn5_cifar10_samples_noise20", "dd_cnn5_cifar10_width_by_samples", "dd_resnet18_cifar10_weight_decay",
]  # fmt: skip


@pytest.mark.parametrize("name", ON_IMAGES)
def test_the_network_of_an_experiment_is_that_of_its_name(name):
    (expected,) = (network for prefix, network in NETWORKS.items() if name.startswith(prefix))
    assert catalog.get(name).model.name == expected


@pytest.mark.parametrize("name", OF_THE_PAPER)
def test_batches_are_of_128_and_the_fit_is_measured(name):
    train = catalog.get(name).train
    assert (train.global_batch, train.measure_fit, train.label_smoothing, train.select) == (128, True, 0.0, "last")


@pytest.mark.parametrize("name", RATES_OF_SGD)
def test_sgd_has_no_momentum_and_a_rate_that_falls_with_the_steps(name):
    recipe = catalog.get(name)
    assert isinstance(recipe.optimizer, Momentum) and recipe.optimizer.momentum == 0.0
    assert (recipe.schedule.lr, recipe.schedule.period) == (0.1, 512)
    assert recipe.train.steps == (1_000_000 if "cifar100" in name else 500_000)


@pytest.mark.parametrize("name", [name for name in OF_THE_PAPER if catalog.get(name).train.epochs])
def test_adam_has_a_constant_rate_of_a_ten_thousandth_for_4000_epochs(name):
    recipe = catalog.get(name)
    adam = recipe.optimizer
    assert (adam.beta_1, adam.beta_2, adam.epsilon, adam.weight_decay) == (0.9, 0.999, 1e-8, 0.0)
    assert (recipe.schedule.lr, recipe.schedule.boundaries, recipe.train.epochs) == (1e-4, (), 4_000)


@pytest.mark.parametrize("data", ["paper", "sample"])
@pytest.mark.parametrize("name", ON_IMAGES)
def test_every_number_of_examples_is_trained_for_as_many_steps(name, data):
    recipe = catalog.variant(catalog.get(name), data)
    if "data.num_train" in recipe.sweep.paths:
        assert recipe.train.steps is not None and recipe.train.epochs is None
        assert not {"train.steps", "train.epochs"} & set(recipe.sweep.paths)


@pytest.mark.parametrize("name", ON_IMAGES)
def test_every_seed_draws_its_own_subset_and_noise(name):
    recipe = catalog.get(name)
    assert (recipe.data.subset_seed, recipe.data.noise_seed) == (None, None)
    assert not {"data.subset_seed", "data.noise_seed"} & set(recipe.sweep.paths)


@pytest.mark.parametrize("name", [name for name in OF_THE_PAPER if "epochs" not in name])
def test_samples_end_soon_and_have_noise_to_show_a_peak(name):
    sample = catalog.variant(catalog.get(name), "sample")
    assert sample.train.steps <= 3_000
    assert max(sample.sweep.grid.get("data.label_noise", (sample.data.label_noise,))) == 0.4


def test_an_ensemble_has_five_members_in_the_sample_too():
    ensembles = [name for name in OF_THE_PAPER if name.endswith("_ensemble")]
    assert len(ensembles) == 2
    for name in ensembles:
        assert all(len(catalog.variant(catalog.get(name), data).sweep.seeds) == 5 for data in ("paper", "sample"))

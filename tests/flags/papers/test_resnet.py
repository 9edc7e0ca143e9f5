"""The recipes of the ResNet paper, number by number."""

import pytest

from flags import catalog
from flags.papers.resnet import CITATION
from flags.run import parse

IMAGENET = ["plain18", "plain34", "resnet18", "resnet34", "resnet34_b", "resnet34_c"]
IMAGENET += ["resnet50", "resnet101", "resnet152"]
CIFAR = [f"plain{n}" for n in (20, 32, 44, 56, 110)] + [f"resnet{n}" for n in (20, 32, 44, 56, 110, 1202)]


def test_every_row_of_the_tables_has_an_experiment():
    names = [experiment.name for experiment in catalog.by_paper()[CITATION]]
    assert names == IMAGENET + [f"{net}_cifar10" for net in CIFAR] + [f"{net}_cifar10_45k" for net in CIFAR]


@pytest.mark.parametrize("name", IMAGENET)
def test_imagenet_recipe_is_that_of_section_3_4(name):
    recipe = catalog.get(name)
    train, schedule, optimizer, data = recipe.train, recipe.schedule, recipe.optimizer, recipe.data
    assert (train.global_batch, train.steps, train.label_smoothing, train.ema_decay) == (256, 600_000, 0, 0)
    assert (schedule.lr, schedule.factor, schedule.boundaries) == (0.1, 0.1, (150_000, 300_000))
    assert schedule.warmup_lr is None
    assert (optimizer.momentum, optimizer.nesterov, optimizer.weight_decay) == (0.9, False, 1e-4)
    assert (data.crop, data.shorter_side, data.flip, data.lighting) == ("scale_jitter", (256, 480), True, 0.1)
    assert data.mean_image and data.stddev == (1, 1, 1) and data.augment == "none"
    assert recipe.model.resolution == 224 and data.crop_padding == 32
    assert data.test_protocol == "ten_crop" and data.test_scales == (224, 256, 384, 480, 640)
    assert train.batch_norm_batch == 32


def test_imagenet_drops_are_at_epochs_30_and_60():
    train, boundaries = catalog.get("resnet34").train, catalog.get("resnet34").schedule.boundaries
    epochs = [boundary / train.steps_per_epoch(1_281_167) for boundary in boundaries]
    assert epochs == pytest.approx([30, 60], abs=0.1)


@pytest.mark.parametrize("network", CIFAR)
def test_cifar_recipe_is_that_of_section_4_2(network):
    recipe = catalog.get(f"{network}_cifar10")
    train, schedule, optimizer, data = recipe.train, recipe.schedule, recipe.optimizer, recipe.data
    assert (train.global_batch, train.steps, train.batch_norm_batch) == (128, 64_000, 64)
    assert (schedule.lr, schedule.factor, schedule.boundaries) == (0.1, 0.1, (32_000, 48_000))
    assert (optimizer.momentum, optimizer.nesterov, optimizer.weight_decay) == (0.9, False, 1e-4)
    assert (data.crop, data.flip, data.mean_image, data.stddev) == ("pad_and_shift", True, True, (1, 1, 1))
    assert (data.train_split, data.test_split, data.test_protocol) == ("train", "test", "centre_crop")
    assert recipe.model.name == f"{network}_cifar" and recipe.model.resolution == 32 and data.crop_padding == 0


def test_only_the_deepest_networks_are_warmed_up():
    warmed = [network for network in CIFAR if catalog.get(f"{network}_cifar10").schedule.warmup_lr is not None]
    assert warmed == ["plain110", "resnet110", "resnet1202"]
    schedule = catalog.get("resnet110_cifar10").schedule
    assert (schedule.warmup_lr, schedule.warmup_error) == (0.01, 0.8)


@pytest.mark.parametrize("network", CIFAR)
def test_the_45k_variant_changes_the_splits_alone(network):
    whole, part = catalog.get(f"{network}_cifar10"), catalog.get(f"{network}_cifar10_45k")
    assert (part.data.train_split, part.data.validation_split) == ("train[:45000]", "train[45000:]")
    assert (part.model, part.optimizer, part.schedule, part.train) == (
        whole.model, whole.optimizer, whole.schedule, whole.train
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "error"),
    [("plain18", 27.94), ("plain34", 28.54), ("resnet18", 27.88), ("resnet34", 25.03), ("resnet34_c", 24.19),
     ("resnet152", 21.43), ("resnet20_cifar10", 8.75), ("resnet110_cifar10", 6.43), ("resnet1202_cifar10", 7.93)],
)  # fmt: skip
def test_the_papers_top1_error(name, error):
    assert 100 * (1 - catalog.get(name).paper.numbers["top1"]) == pytest.approx(error)


def test_table_4_stands_beside_table_3():
    numbers = catalog.get("resnet152").paper.numbers
    assert (numbers["top1_multi_scale"], numbers["top5_multi_scale"]) == pytest.approx((0.8062, 0.9551))
    assert numbers["top5"] == pytest.approx(0.9429)
    assert "top1_multi_scale" not in catalog.get("resnet34").paper.numbers


@pytest.mark.parametrize(
    ("name", "shortcut", "stride"),
    [("plain34", None, None), ("resnet18", "A", None), ("resnet34", "A", None), ("resnet34_b", "B", None),
     ("resnet34_c", "C", None), ("resnet50", "B", "1x1")],
)  # fmt: skip
def test_shortcuts_are_those_of_the_row(name, shortcut, stride):
    model = catalog.get(name).model
    assert (model.shortcut, model.bottleneck_stride) == (shortcut, stride)


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("model.shortcut=none", ["model.shortcut=None", "plain"]),
        ("model.bottleneck_stride=3x3", ["model.bottleneck_stride", "resnet50, resnet101, resnet152"]),
        ("model.shortcut=D", ["A, B, C"]),
        ("schedule.boundaries=300,200", ["schedule.boundaries", "larger"]),
        ("data.shorter_side=480,256", ["data.shorter_side", "smaller first"]),
        ("data.test_protocol=tencrop", ["Near: ten_crop"]),
        ("schedule.drops=plato", ["boundaries, plateau"]),
    ],
)
def test_a_field_that_makes_no_sense_is_refused(mistake_of, flag, words):
    message = mistake_of(parse, ["main", "--experiment=resnet34", "--data=paper", f"--set={flag}"])
    assert all(word in message for word in words), message


def test_a_plateau_needs_something_to_watch(mistake_of):
    arguments = ["main", "--experiment=resnet34", "--data=paper", "--set=schedule.drops=plateau"]
    assert parse(arguments).recipe_for("paper").schedule.drops == "plateau"
    assert "validation_split" in mistake_of(parse, [*arguments, "--set=data.validation_split=none"])


@pytest.mark.parametrize("name", [*IMAGENET, *(f"{network}_cifar10" for network in CIFAR)])
def test_the_sample_variant_runs_on_the_digits_and_says_so(name):
    sample = catalog.variant(catalog.get(name), "sample")
    assert sample.data.name == "digits" and not sample.data.flip and sample.train.steps <= 2000
    assert sample.deviations[0].startswith("Embedded sample")
    assert sample.schedule.boundaries[-1] < sample.train.steps

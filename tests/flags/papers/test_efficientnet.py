"""EfficientNet's recipes against the paper (Table 2, section 5.2) and the authors' code."""

import dataclasses
import math

import pytest

from flags import catalog

FAMILY = {  # Table 2 (version 5), and resolution and dropout of the authors' code
    "effnet_b0": (224, 0.2, 77.1, 93.3, 5.3e6, 0.39e9),
    "effnet_b1": (240, 0.2, 79.1, 94.4, 7.8e6, 0.70e9),
    "effnet_b2": (260, 0.3, 80.1, 94.9, 9.2e6, 1.0e9),
    "effnet_b3": (300, 0.3, 81.6, 95.7, 12e6, 1.8e9),
    "effnet_b4": (380, 0.4, 82.9, 96.4, 19e6, 4.2e9),
    "effnet_b5": (456, 0.4, 83.6, 96.7, 30e6, 9.9e9),
    "effnet_b6": (528, 0.5, 84.0, 96.8, 43e6, 19e9),
    "effnet_b7": (600, 0.5, 84.3, 97.0, 66e6, 37e9),
}
IMAGENET = 1_281_167
MINIVAL = 25_022


@pytest.mark.parametrize("name", FAMILY)
def test_model_and_numbers_are_those_of_the_papers_row(name):
    resolution, dropout, top1, top5, parameters, multiply_adds = FAMILY[name]
    experiment = catalog.get(name)
    assert experiment.model.name == name.replace("effnet", "efficientnet")
    assert (experiment.model.resolution, experiment.model.dropout) == (resolution, dropout)
    assert experiment.model.survival_probability == 0.8
    assert experiment.model.options() == {"dropout": dropout, "survival_probability": 0.8}
    assert experiment.paper.row == f"Table 2, EfficientNet-B{name[-1]}"
    numbers = experiment.paper.numbers
    assert (100 * numbers["top1"], 100 * numbers["top5"]) == pytest.approx((top1, top5))
    assert (numbers["parameters"], numbers["multiply_adds"]) == (parameters, multiply_adds)


@pytest.mark.parametrize("name", FAMILY)
def test_the_whole_family_shares_one_recipe(name):
    b0, other = catalog.get("effnet_b0"), catalog.get(name)
    for group in ("data", "optimizer", "schedule", "train", "deviations"):
        assert getattr(other, group) == getattr(b0, group)


def test_optimizer_is_that_of_section_5_2():
    optimizer = catalog.get("effnet_b0").optimizer
    assert dataclasses.asdict(optimizer) == {
        "decay": 0.9,
        "momentum": 0.9,
        "epsilon": 1e-3,
        "weight_decay": 1e-5,
        "decayed": "outside_batch_norm",
    }


def test_run_is_350_epochs_of_batch_4096_in_109474_steps():
    experiment = catalog.get("effnet_b0")
    assert (experiment.train.global_batch, experiment.train.epochs) == (4096, 350)
    assert experiment.data.examples_per_epoch == IMAGENET
    assert experiment.train.total_steps(experiment.data.examples_per_epoch) == 109_474


def test_learning_rate_starts_at_0_256_and_ends_at_0_00309():
    experiment = catalog.get("effnet_b0")
    schedule, train = experiment.schedule, experiment.train
    peak = schedule.lr_per_256 * train.global_batch / 256
    assert peak == pytest.approx(0.256)
    steps_per_epoch = train.steps_per_epoch(IMAGENET)
    last = train.total_steps(IMAGENET) - 1
    decays = math.floor(last / (schedule.decay_epochs * steps_per_epoch))
    assert schedule.staircase and decays == 145
    assert peak * schedule.decay_rate**decays == pytest.approx(0.00309, abs=5e-6)
    assert int(schedule.warmup_epochs * steps_per_epoch) == 1563


def test_what_the_deviations_say_of_epochs_is_right():
    text = " ".join(catalog.get("effnet_b0").deviations)
    assert round(350 * IMAGENET / (IMAGENET - MINIVAL)) == 357 and "357 passes" in text
    last = 109_474 - 1
    held_out = math.floor(last / (2.4 * (IMAGENET - MINIVAL) / 4096))
    assert held_out == 148 and "0.97^148 = 0.0028" in text
    assert round(0.256 * 0.97**held_out, 4) == 0.0028
    assert round(100 * 16 / 50_000, 2) == 0.03 and "0.03 points" in text


def test_minival_is_held_out_of_training_and_the_validation_split_is_only_tested():
    data = catalog.get("effnet_b0").data
    assert (data.name, data.train_split, data.validation_split) == ("imagenet2012", "train[25022:]", "train[:25022]")
    assert data.test_split == "validation"
    assert int(IMAGENET * 20 / 1024) == MINIVAL
    assert catalog.get("effnet_b0").train.select == "best"


def test_input_is_that_of_the_authors_code():
    data = catalog.get("effnet_b0").data
    assert (data.crop, data.flip, data.augment, data.resize) == ("inception", True, "autoaugment_v0", "bicubic_tf1")
    assert data.crop_padding == 32
    assert data.mean == (0.485 * 255, 0.456 * 255, 0.406 * 255)
    assert data.stddev == (0.229 * 255, 0.224 * 255, 0.225 * 255)


def test_regularisation_is_that_of_the_authors_code():
    train = catalog.get("effnet_b0").train
    assert (train.label_smoothing, train.ema_decay, train.clip_norm) == (0.1, 0.9999, None)


def test_evaluation_comes_every_ten_epochs():
    train = catalog.get("effnet_b0").train
    assert train.eval_every / train.steps_per_epoch(IMAGENET) == pytest.approx(10, abs=1e-3)


@pytest.mark.parametrize("name", FAMILY)
def test_sample_weight_average_remembers_a_twentieth_of_the_run(name):
    sample = catalog.variant(catalog.get(name), "sample")
    steps = sample.train.total_steps(4000)
    assert sample.train.ema_decay == pytest.approx(1 - 1 / (0.05 * steps), abs=1e-3)


@pytest.mark.parametrize("name", FAMILY)
def test_sample_keeps_network_optimizer_label_smoothing_and_the_share_of_the_warm_up(name):
    paper = catalog.get(name)
    sample = catalog.variant(paper, "sample")
    assert sample.optimizer == paper.optimizer
    assert sample.train.label_smoothing == paper.train.label_smoothing
    assert sample.model.name == paper.model.name
    share = paper.schedule.warmup_epochs / paper.train.epochs
    assert sample.schedule.warmup_epochs / sample.train.epochs == pytest.approx(share)


@pytest.mark.parametrize("name", FAMILY)
def test_sample_selects_nothing_on_the_digits_it_is_tested_on(name):
    sample = catalog.variant(catalog.get(name), "sample")
    assert sample.data.validation_split == sample.data.test_split == "test"
    assert sample.train.select == "last"


def test_sample_digits_are_not_mirrored_or_augmented():
    data = catalog.variant(catalog.get("effnet_b0"), "sample").data
    assert (data.name, data.flip, data.augment, data.crop) == ("digits", False, "none", "pad_and_shift")
    assert (data.train_split, data.test_split) == ("train", "test")


def test_synthetic_changes_nothing_but_the_data():
    paper = catalog.get("effnet_b0")
    synthetic = catalog.variant(paper, "synthetic")
    assert synthetic.data == dataclasses.replace(paper.data, name="synthetic")
    assert (synthetic.model, synthetic.train, synthetic.schedule) == (paper.model, paper.train, paper.schedule)

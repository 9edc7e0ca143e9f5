"""Every registered experiment takes a step by its own recipe, on synthetic data and in small, and is described."""

import json

import pytest

from flags import catalog
from flags.data import SmallImages
from trainers.main import main

# One of each kind; the others are slow.
DEFAULT = (
    "plain18", "resnet50", "resnet20_cifar10", "effnet_b0", "sha_rnn_enwik8", "plain_lstm_enwik8", "dd_cnn5_cifar10",
)  # fmt: skip
NAMES = [name if name in DEFAULT else pytest.param(name, marks=pytest.mark.slow) for name in catalog.names()]
ON_CPU = ["--data=synthetic", "--strategy=one_device", "--devices=cpu:0"]


def small_images(name):
    # At 32 px half of B7's batch norms see one pixel of each image; of two images their gradient is no number.
    batch = 8 if name == "effnet_b7" else 2
    in_memory = ["--set=data.num_train=4"] if isinstance(catalog.get(name).data, SmallImages) else []
    return [
        "--set=model.resolution=32", f"--set=train.global_batch={batch}", "--set=train.eval_batch=2",
        "--set=train.clip_norm=1",  # two images make the gradient of a deep network very large
        "--set=data.test_split=test[:3]", *in_memory,
    ]  # fmt: skip


def small_text(name):
    options = {"boom_width": 16, "memory_size": 20} if catalog.get(name).model.name == "sha_rnn" else {}
    if name == "sha_rnn_enwik8_no_boom":
        options["boom_width"] = 0
    return [
        "--set=model.width=8", *(f"--set=model.{option}={value}" for option, value in options.items()),
        "--set=train.global_batch=2", "--set=data.segment_length=16", "--set=data.test_split=test[:50]",
        "--set=data.test_lanes=2",
    ]  # fmt: skip


def small_features(name):
    return [
        "--set=model.resolution=32", "--set=model.num_features=20", "--set=data.num_train=10", "--set=data.channels=3",
        "--set=data.mean=0,0,0", "--set=data.stddev=255,255,255", "--set=train.eval_batch=2",
        "--set=data.test_split=test[:3]",
    ]  # fmt: skip


def small_sentences(name):
    return [
        "--set=model.d_model=8", "--set=model.layers=1", "--set=data.num_train=20", "--set=data.max_length=100",
        "--set=train.global_batch=200", "--set=data.test_split=test[:3]",
    ]  # fmt: skip


def small_numbers(name):
    return ["--set=data.num_test=3"]


SMALL = {  # task -> settings of an experiment; how its results count what was tested, and how many that should be
    "classification": (small_images, "examples", 3),
    "least_squares": (small_features, "examples", 3),
    "language_modelling": (small_text, "bytes", 2 * (25 - 1)),  # the first symbol of a lane is not predicted
    "translation": (small_sentences, "pairs", 3),
    "regression": (small_numbers, "examples", 3),
}


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_takes_a_step(name, tmp_path):
    small, units, count = SMALL[catalog.get(name).task]
    arguments = [
        "main", f"--experiment={name}", *ON_CPU, f"--model_dir={tmp_path}", "--set=train.steps=1",
        "--set=train.epochs=none", "--set=data.validation_split=none", "--set=train.select=last", *small(name),
    ]  # fmt: skip
    assert main(arguments) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["experiment"] == name
    assert results["metrics"][units] == count


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_describes_itself(name, capsys):
    assert main(["main", f"--experiment={name}", "--mode=describe", *ON_CPU, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    paper = facts["paper"]
    assert facts["experiment"] == name and facts["deviations"]
    if "parameters" in paper:  # the papers print two digits; SHA-RNN's counts the network with its value gates folded
        counted = [facts["parameters"], *facts["parameter_counts"].values()][-1]
        assert counted == pytest.approx(paper["parameters"], rel=0.02)
    if "multiply_adds" in paper:  # the paper rounds down, to one digit after the point; EfficientNet's B4 is 4 % off
        assert facts["multiply_adds"] == pytest.approx(paper["multiply_adds"], rel=0.05)

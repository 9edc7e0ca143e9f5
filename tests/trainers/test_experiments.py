"""Every registered experiment takes a step by its own recipe, on synthetic data and small images, and is described."""

import json

import pytest

from flags import catalog
from trainers.main import main

DEFAULT = ("plain18", "resnet50", "resnet20_cifar10", "effnet_b0")  # one of each kind; the others are slow
NAMES = [name if name in DEFAULT else pytest.param(name, marks=pytest.mark.slow) for name in catalog.names()]
ON_CPU = ["--data=synthetic", "--strategy=one_device", "--devices=cpu:0", "--set=model.resolution=32"]


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_takes_a_step(name, tmp_path):
    # At 32 px half of B7's batch norms see one pixel of each image; of two images their gradient is no number.
    batch = 8 if name == "effnet_b7" else 2
    arguments = [
        "main", f"--experiment={name}", *ON_CPU, f"--model_dir={tmp_path}", f"--set=train.global_batch={batch}",
        "--set=train.steps=1", "--set=train.clip_norm=1",  # two images make the gradient of a deep network very large
        "--set=train.eval_batch=2", "--set=data.validation_split=none",
        "--set=data.test_split=test[:3]", "--set=train.select=last",
    ]  # fmt: skip
    assert main(arguments) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["experiment"] == name and results["metrics"]["examples"] == 3


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_describes_itself(name, capsys):
    assert main(["main", f"--experiment={name}", "--mode=describe", *ON_CPU[:-1], "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    paper = facts["paper"]
    assert facts["experiment"] == name and facts["deviations"]
    if "parameters" in paper:  # the papers print two digits
        assert facts["parameters"] == pytest.approx(paper["parameters"], rel=0.02)
    if "multiply_adds" in paper:  # the paper rounds down, to one digit after the point; EfficientNet's B4 is 4 % off
        assert facts["multiply_adds"] == pytest.approx(paper["multiply_adds"], rel=0.05)

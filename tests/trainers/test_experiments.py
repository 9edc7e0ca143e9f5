"""Every registered experiment takes a step by its own recipe, on synthetic data and small images."""

import json

import pytest

from flags import catalog
from trainers.main import main

NAMES = catalog.names()


@pytest.mark.parametrize("name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])])
def test_an_experiment_takes_a_step(name, tmp_path):
    arguments = [
        "main", f"--experiment={name}", "--data=synthetic", f"--model_dir={tmp_path}", "--strategy=one_device",
        "--devices=cpu:0", "--set=model.resolution=32", "--set=train.global_batch=2", "--set=train.steps=1",
        "--set=train.eval_batch=2", "--set=data.validation_split=none", "--set=data.test_split=validation[:3]",
        "--set=train.select=last",
    ]  # fmt: skip
    assert main(arguments) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["experiment"] == name and results["metrics"]["examples"] == 3
    millions = results["paper"]["parameters"] / 1e6
    assert results["parameters"] / 1e6 == pytest.approx(millions, abs=0.5 if millions >= 10 else 0.05)

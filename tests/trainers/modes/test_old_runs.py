"""Runs that an earlier version left half done resume, and end in the weights in which that version ended.

`old_runs/` holds folders written by commit fe50cda: config, log and one checkpoint of a run that went on to its end
there, and the weights of that end (`expected.npz`).
"""

import json
import pathlib
import shutil

import keras
import numpy as np
import pytest

from flags import folders
from trainers.main import main

OLD = pathlib.Path(__file__).parent / "old_runs"


@pytest.mark.parametrize("name", ["regression", "in_memory", "text"])
def test_a_run_of_an_earlier_version_resumes_to_the_same_weights(name, tmp_path, digits_dir, capsys):
    folder = tmp_path / name
    shutil.copytree(OLD / name, folder)
    config = folders.read_config(folder)
    (checkpoint,) = (folder / "checkpoints").iterdir()
    arguments = [
        f"--experiment={config['experiment']}",
        f"--data={config['data']}",
        f"--model_dir={folder}",
        f"--data_dir={digits_dir}",
        "--strategy=one_device",
        "--devices=cpu:0",
        "--noexport",
        *(f"--set={text}" for text in config["overrides"]),
    ]
    assert main(["main", *arguments]) == 0
    assert f"resuming from step {int(checkpoint.name.removeprefix('step-'))}" in capsys.readouterr().err
    expected = np.load(folder / "expected.npz")
    model = keras.saving.load_model(folder / "model.keras")
    assert [weight.path.replace("/", "|") for weight in model.weights] == list(expected)
    for weight, name in zip(model.weights, expected):
        np.testing.assert_allclose(weight.numpy(), expected[name], rtol=1e-5, atol=1e-7)


def test_a_field_that_is_gone_counts_only_where_it_did_something(tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(OLD / "regression", folder)
    config = json.loads((folder / "config.json").read_text())
    assert config["recipe"]["train.label_smoothing"] == 0.0
    config["recipe"]["train.label_smoothing"] = 0.1
    (folder / "config.json").write_text(json.dumps(config))
    texts = [f"--set={text}" for text in config["overrides"]]
    arguments = ["--experiment=dd_two_layer_linear", "--data=synthetic", f"--model_dir={folder}", *texts]
    assert main(["main", *arguments]) == 2
    assert "train.label_smoothing: 0.1 -> (no such field)" in capsys.readouterr().err

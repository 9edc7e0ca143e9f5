"""`--mode=sweep`: trials in parallel processes, as if each had run alone; killed, it goes on with what is missing."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from flags import catalog
from trainers.main import main

SMALL = [
    "--experiment=dd_cnn5_cifar10_epochs", "--data=sample", "--deterministic",
    "--set=train.steps=2", "--set=data.num_train=20", "--set=data.test_split=test[:20]",
    "--set=data.validation_split=none",
]  # fmt: skip


def command(folder, digits_dir, *more):
    start = [sys.executable, "-m", "trainers.main", "--mode=sweep", f"--model_dir={folder}", f"--data_dir={digits_dir}"]
    return [*start, *SMALL, *more]


def names():
    return {trial.name for trial in catalog.variant(catalog.get("dd_cnn5_cifar10_epochs"), "sample").sweep.trials}


def finished(folder):
    return {path.parent.name for path in folder.glob("*/results.json")}


@pytest.fixture(scope="module")
def stopped_and_ended(tmp_path_factory, digits_dir):
    """The folder of a sweep that was asked to stop once a few trials were done, and then run to its end."""
    folder = tmp_path_factory.mktemp("sweeps") / "sweep"
    process = subprocess.Popen(command(folder, digits_dir), stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "left" in line:
            break
    process.send_signal(signal.SIGTERM)
    process.stderr.read()
    status, early = process.wait(60), finished(folder)
    ended = subprocess.run(command(folder, digits_dir), capture_output=True, text=True, timeout=500)
    return folder, status, early, ended


def test_a_signal_stops_it_and_the_same_command_goes_on_with_what_is_missing(stopped_and_ended):
    folder, status, early, ended = stopped_and_ended
    assert status == 75 and 0 < len(early) < len(names())
    assert ended.returncode == 0, ended.stderr
    assert f"{len(names()) - len(early)} trials to run, {len(early)} done before" in ended.stderr
    assert finished(folder) == names()


def test_each_trial_is_an_ordinary_run_without_a_saved_model(stopped_and_ended):
    folder = stopped_and_ended[0]
    trial = folder / "label_noise0.2-k8-seed0"
    assert json.loads((trial / "config.json").read_text())["recipe"]["model.k"] == 8
    assert (trial / "model.keras").exists() and not (trial / "saved_model").exists()


def test_a_trial_in_a_used_process_equals_one_alone(stopped_and_ended, digits_dir, tmp_path):
    import keras

    import tf_models  # noqa: F401 (the layers that the files name)

    alone = [
        sys.executable, "-m", "trainers.main", f"--model_dir={tmp_path}/alone", f"--data_dir={digits_dir}", *SMALL,
        "--strategy=one_device", "--noexport", "--set=data.label_noise=0.4", "--set=model.k=8", "--quiet",
    ]  # fmt: skip
    subprocess.run(alone, check=True, capture_output=True, env={**os.environ, "TF_NUM_INTRAOP_THREADS": "1"})
    folders = (stopped_and_ended[0] / "label_noise0.4-k8-seed0", tmp_path / "alone")
    swept, single = (keras.saving.load_model(path / "model.keras").get_weights() for path in folders)
    for one, other in zip(swept, single, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_report_of_a_sweep_draws_error_over_width(stopped_and_ended, capsys):
    folder = stopped_and_ended[0]
    assert main(["main", "--mode=report", f"--model_dir={folder}"]) == 0
    assert list((folder / "report").glob("*.png"))


def test_another_sweep_in_the_folder_is_refused(stopped_and_ended, digits_dir, capsys):
    arguments = command(stopped_and_ended[0], digits_dir, "--set=train.log_every=7")[3:]
    assert main(["main", *arguments]) == 2
    assert "holds another sweep: overrides" in capsys.readouterr().err


def test_a_field_that_is_swept_cannot_be_set(tmp_path, digits_dir, capsys):
    assert main(["main", *command(tmp_path, digits_dir, "--set=model.k=3")[3:]]) == 2
    assert capsys.readouterr().err.strip().endswith("the sweep goes through model.k itself. Leave it out.")


def test_an_experiment_without_a_sweep_says_so(digits_dir, capsys):
    arguments = ["main", "--mode=sweep", "--experiment=effnet_b0", "--data=sample", f"--data_dir={digits_dir}"]
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("--mode=sweep: effnet_b0 has no sweep")


@pytest.mark.slow
def test_a_worker_that_dies_fails_its_trial_and_the_rest_goes_on(tmp_path, digits_dir):
    process = subprocess.Popen(command(tmp_path / "s", digits_dir, "--parallel=1"), stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "left" in line:
            break
    worker = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()[0]
    os.kill(int(worker), signal.SIGKILL)
    rest = process.stderr.read()
    assert process.wait(500) == 1
    assert "1 of 6 trials failed" in rest and len(finished(tmp_path / "s")) == 5

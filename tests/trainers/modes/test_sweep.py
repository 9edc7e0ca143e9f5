"""`--mode=sweep`: trials in parallel processes, as if each had run alone; killed, it goes on with what is missing."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from flags import catalog
from flags.sweep import Ladder, Sweep, Trial
from trainers.main import main
from trainers.sweeps import local

SMALL = [
    "--experiment=dd_cnn5_cifar10_epochs", "--data=sample", "--deterministic",
    "--set=train.steps=2", "--set=data.test_split=test[:20]", "--set=data.validation_split=none",
]  # fmt: skip
FEW = "--set=data.num_train=20"
GRID = ["--grid=data.label_noise=0.2,0.4", "--grid=model.k=1,2"]
NAMES = {f"label_noise{noise}-k{k}-seed0" for noise in (0.2, 0.4) for k in (1, 2)}
LONG = [  # trials of many steps, which are saved often
    "--mode=sweep", "--experiment=dd_two_layer_linear", "--data=sample", "--deterministic", "--set=train.steps=15000",
    "--set=train.checkpoint_every=1000", "--set=train.eval_every=1000", "--set=train.evals_per_decade=none",
    "--set=train.log_every=1000", "--grid=optimizer.weight_decay=0,0.1", "--seeds=0",
]  # fmt: skip


def command(folder, digits_dir, *more):
    return ["--mode=sweep", f"--model_dir={folder}", f"--data_dir={digits_dir}", "--seeds=0", *SMALL, *more]


def start(arguments):
    return subprocess.Popen([sys.executable, "-m", "trainers.main", *arguments], stderr=subprocess.PIPE, text=True)


def end(arguments, **environment):
    line = [sys.executable, "-m", "trainers.main", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=500, env={**os.environ, **environment})


def finished(folder):
    return {path.parent.name for path in folder.glob("*/results.json")}


def weights(folder):
    import keras

    import tf_models  # noqa: F401 (the layers that the files name)

    return keras.saving.load_model(folder / "model.keras").get_weights()


def assert_same_weights(folder, other):
    for one, two in zip(weights(folder), weights(other), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.fixture(scope="module")
def stopped_and_ended(tmp_path_factory, digits_dir):
    """The folder of a sweep that was asked to stop once a trial was done, and then run to its end."""
    folder = tmp_path_factory.mktemp("sweeps") / "sweep"
    arguments = command(folder, digits_dir, FEW, *GRID, "--parallel=1")
    process = start(arguments)
    for line in process.stderr:
        if "left" in line:
            break
    process.send_signal(signal.SIGTERM)
    process.stderr.read()
    status, early = process.wait(60), finished(folder)
    return folder, status, early, end(arguments)


def test_a_signal_stops_it_and_the_same_command_goes_on_with_what_is_missing(stopped_and_ended):
    folder, status, early, ended = stopped_and_ended
    assert status == 75 and 0 < len(early) < len(NAMES)
    assert ended.returncode == 0, ended.stderr
    assert f"{len(NAMES) - len(early)} trials to run, {len(early)} done before" in ended.stderr
    assert finished(folder) == NAMES


def test_each_trial_is_an_ordinary_run_without_a_saved_model(stopped_and_ended):
    trial = stopped_and_ended[0] / "label_noise0.2-k2-seed0"
    assert json.loads((trial / "config.json").read_text())["recipe"]["model.k"] == 2
    assert (trial / "model.keras").exists() and not (trial / "saved_model").exists()


def test_what_a_trial_prints_is_in_its_own_log(stopped_and_ended):
    folder, _, _, ended = stopped_and_ended
    log = (folder / "label_noise0.4-k2-seed0" / "log.txt").read_text()
    assert "2 steps; folder" in log and "results " in log
    assert "Keras file" not in ended.stdout + ended.stderr


def test_a_trial_in_a_used_process_equals_one_alone(stopped_and_ended, digits_dir, tmp_path):
    alone = [
        f"--model_dir={tmp_path}", f"--data_dir={digits_dir}", *SMALL, FEW, "--strategy=one_device", "--noexport",
        "--set=data.label_noise=0.4", "--set=model.k=2", "--quiet",
    ]  # fmt: skip
    assert end(alone).returncode == 0
    assert_same_weights(stopped_and_ended[0] / "label_noise0.4-k2-seed0", tmp_path)  # the last of its process


def test_a_finished_sweep_has_nothing_to_do(stopped_and_ended, digits_dir, capsys):
    folder = stopped_and_ended[0]
    assert main(["main", *command(folder, digits_dir, FEW, *GRID, "--json")]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["trials"], summary["done"], summary["left"], summary["failed"]) == (4, 4, 0, [])
    assert (summary["experiment"], summary["folder"]) == ("dd_cnn5_cifar10_epochs", str(folder))


def test_a_sweep_draws_its_figures_once_all_trials_are_done(stopped_and_ended):
    folder, _, _, ended = stopped_and_ended
    assert ended.stdout.splitlines()[-1] == str(folder / "report" / "index.html")
    assert list((folder / "report").glob("*.png"))


def test_a_trial_that_fails_is_named_with_its_log_the_rest_goes_on_and_it_is_tried_again(tmp_path, digits_dir, capsys):
    arguments = ["main", *command(tmp_path, digits_dir, "--grid=data.num_train=9999,20", "--grid=model.k=1", "--json")]
    arguments += ["--grid=data.label_noise=0.2", "--parallel=1"]
    for to_run in (2, 1):
        assert main(arguments) == 1
        said = capsys.readouterr()
        summary = json.loads(said.out)
        log = tmp_path / "label_noise0.2-k1-num_train9999-seed0" / "log.txt"
        assert f"{to_run} trials to run" in said.err and str(log) in said.err
        assert (summary["done"], [one["log"] for one in summary["failed"]]) == (1, [str(log)])
        assert "data.num_train=9999" in log.read_text()


def test_after_some_trials_another_process_takes_a_workers_place(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "TRIALS_OF_A_WORKER", 2)
    runner = local.LocalRunner(1, [], lambda trial: (["--experiment=none_such"], str(tmp_path / "log.txt")))
    workers = []
    for seed in range(3):
        runner.start(Trial(values={}, seed=seed))
        while not (endings := runner.wait(10)):
            pass
        assert endings[0].status == 2
        workers.append(runner._workers[0].pid)
    runner.close()
    assert workers[0] == workers[1] != workers[2]


def test_an_experiment_without_a_sweep_says_so(digits_dir, capsys):
    arguments = ["main", "--mode=sweep", "--experiment=effnet_b0", "--data=sample", f"--data_dir={digits_dir}"]
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("--mode=sweep: effnet_b0 has no sweep")


def test_a_data_set_that_is_not_there_is_said_once(tmp_path, capsys):
    arguments = ["--mode=sweep", "--experiment=dd_cnn5_cifar10", "--data=paper", f"--data_dir={tmp_path}"]
    assert main(["main", *arguments, f"--model_dir={tmp_path}/sweep"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "sweep").exists()


def test_a_gpu_that_is_not_there_is_not_shared(tmp_path, digits_dir, capsys):
    assert main(["main", *command(tmp_path, digits_dir, "--trials_per_gpu=2")]) == 2
    assert capsys.readouterr().err.startswith("--trials_per_gpu=2: TensorFlow finds no GPU")


def test_random_features_fit_as_many_examples_as_there_are_features(tmp_path, digits_dir, monkeypatch, capsys):
    """With squared error and a tiny eps the complexity of least squares is the number of features."""
    ladder = Ladder(first=10, last=80, factor=2.0, refine=0.04, error="squared", eps=(1e-9,), beyond=1)
    sweep = Sweep(grid={"model.num_features": (24,)}, ladder=ladder)
    recipe = dataclasses.replace(catalog.get("dd_random_features_mnist"), sample_sweep=sweep)
    monkeypatch.setitem(catalog._recipes, recipe.name, lambda: recipe)
    arguments = ["--mode=sweep", f"--experiment={recipe.name}", "--data=sample", f"--data_dir={digits_dir}"]
    arguments += ["--set=data.validation_split=none", "--set=data.test_split=train[:100]", "--quiet", "--json"]
    assert main(["main", *arguments, f"--model_dir={tmp_path}"]) == 0
    assert json.loads(capsys.readouterr().out)["emc"] == str(tmp_path / "emc.json")
    (bracket,) = json.loads((tmp_path / "emc.json").read_text())["points"]
    assert bracket["point"] == {"model.num_features": 24}
    assert (bracket["low"], bracket["high"]) == (24, 25)


def test_a_worker_ends_with_its_parent_even_if_the_signal_comes_before_it_waits():
    code = "import os; os.kill = lambda *_: None; from trainers.sweeps import worker; worker.serve()"
    ended = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert ended.returncode == 0 and ended.stdout == b""


def test_a_process_that_does_not_end_by_itself_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(local, "SECONDS_TO_END", 0.1)
    assert local._ended(subprocess.Popen(["sleep", "600"])) == -signal.SIGKILL


@pytest.mark.slow
def test_a_worker_that_dies_fails_its_trial_and_the_rest_goes_on(tmp_path):
    process = start([*LONG, f"--model_dir={tmp_path}", "--parallel=1"])
    wait_for(tmp_path / "weight_decay0.0-seed0" / "checkpoints")
    worker = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()[0]
    os.kill(int(worker), signal.SIGKILL)
    rest = process.communicate(timeout=300)[1]
    assert process.returncode == 1
    assert "weight_decay0.0-seed0: failed (killed by SIGKILL)" in rest and "1 of 2 trials failed" in rest
    assert finished(tmp_path) == {"weight_decay0.1-seed0"}


@pytest.mark.slow
def test_killed_it_goes_on_from_the_checkpoints_of_its_trials_to_the_same_bits(tmp_path):
    arguments = [*LONG, f"--model_dir={tmp_path}/killed", "--parallel=1"]
    process = start(arguments)
    wait_for(tmp_path / "killed" / "weight_decay0.0-seed0" / "checkpoints")
    process.kill()  # its worker is still saving when the same command comes
    again = end(arguments)
    assert again.returncode == 0, again.stderr
    assert "resuming from step" in (tmp_path / "killed" / "weight_decay0.0-seed0" / "log.txt").read_text()
    assert end([*LONG, f"--model_dir={tmp_path}/whole", "--parallel=1"]).returncode == 0
    for trial in ("weight_decay0.0-seed0", "weight_decay0.1-seed0"):
        assert_same_weights(tmp_path / "killed" / trial, tmp_path / "whole" / trial)


def wait_for(checkpoints, seconds=120):
    until = time.monotonic() + seconds
    while not list(checkpoints.glob("step-*")):
        assert time.monotonic() < until
        time.sleep(0.1)

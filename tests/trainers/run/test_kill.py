"""A run that is killed with SIGKILL at random moments ends, bit for bit, in the weights of an unbroken one."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from trainers.run.checkpoints import Checkpoints

STEPS = 60
COMMAND = (
    "--experiment=effnet_b0",
    "--data=sample",
    "--deterministic",
    "--set=model.width=0.1",
    "--set=model.depth=0.1",
    "--set=data.train_split=train[:96]",
    "--set=data.validation_split=none",
    "--set=data.test_split=test[:20]",
    f"--set=train.steps={STEPS}",
    "--set=train.global_batch=8",
    "--set=train.log_every=5",
    "--set=train.eval_every=60",
    "--set=train.checkpoint_every=5",
    "--set=train.eval_batch=20",
    "--noexport",
)


def start(folder, data_dir, *arguments):
    line = [
        sys.executable,
        "-m",
        "trainers.main",
        *COMMAND,
        f"--model_dir={folder}",
        f"--data_dir={data_dir}",
        *arguments,
    ]
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def final_weights(folder):
    reader = tf.train.load_checkpoint(str(Checkpoints(folder / "checkpoints", keep=3).path(STEPS) / "variables"))
    return {
        name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name.startswith("variables")
    }


def run_with_kills(folder, data_dir, kills, seed, *arguments):
    """Kills the run `kills` times, each at a random moment after it wrote something; returns how often it died."""
    moments = random.Random(seed)
    died = 0
    while True:
        process = start(folder, data_dir, *arguments)
        if died < kills:
            seen = _written(folder)
            while process.poll() is None and _written(folder) == seen:
                time.sleep(0.005)
            time.sleep(moments.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
        error = process.communicate(timeout=300)[1]
        if process.returncode == 0:
            return died
        assert process.returncode == -signal.SIGKILL, error
        died += 1


def _written(folder):
    checkpoints = folder / "checkpoints"
    return sorted(os.listdir(checkpoints)) if checkpoints.exists() else []


def assert_same_end(folder, reference, data_dir, kills, seed, *arguments):
    assert run_with_kills(folder, data_dir, kills, seed, *arguments) == kills
    assert start(reference, data_dir, *arguments).wait(timeout=300) == 0
    killed, unbroken = final_weights(folder), final_weights(reference)
    assert killed.keys() == unbroken.keys()
    for name, value in unbroken.items():
        np.testing.assert_array_equal(killed[name], value, err_msg=name)
    for file in ("metrics.jsonl", "results.json"):
        assert (folder / file).exists()


def test_a_killed_run_ends_in_the_same_bits(tmp_path, digits_dir):
    assert_same_end(tmp_path / "killed", tmp_path / "unbroken", digits_dir, 2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_run_killed_five_times_ends_in_the_same_bits(tmp_path, digits_dir, seed):
    assert_same_end(tmp_path / "killed", tmp_path / "unbroken", digits_dir, 5, seed)


@pytest.mark.slow
def test_two_replicas_killed_end_in_the_same_bits(tmp_path, digits_dir):
    assert_same_end(tmp_path / "killed", tmp_path / "unbroken", digits_dir, 3, 9, "--devices=cpu*2")

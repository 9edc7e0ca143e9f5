"""Two worker processes on this machine, each with its own TF_CONFIG, train one run together."""

import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

COMMAND = (
    "--experiment=effnet_b0",
    "--data=sample",
    "--strategy=multi_worker",
    "--set=model.width=0.1",
    "--set=model.depth=0.1",
    "--set=data.train_split=train[:96]",
    "--set=data.validation_split=train[96:128]",
    "--set=data.test_split=test[:50]",
    "--set=train.steps=6",
    "--set=train.global_batch=16",
    "--set=train.log_every=3",
    "--set=train.eval_every=6",
    "--set=train.checkpoint_every=3",
    "--set=train.eval_batch=20",
)
# The same command line, and then the weights of this worker, as it ended.
WORKER = """
import sys, numpy as np
from trainers.modes import train
from trainers.main import main
finish = train.Training._finish
def finish_and_save(self):
    np.savez(sys.argv[-1], *[v.numpy() for v in self._state.model.weights])
    finish(self)
train.Training._finish = finish_and_save
sys.exit(main(sys.argv[:-1]))
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start_workers(folder, data_dir, tmp_path, *arguments):
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    for index in range(2):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        env = {**os.environ, "TF_CONFIG": json.dumps(config), "CUDA_VISIBLE_DEVICES": "-1"}
        line = [sys.executable, "-c", WORKER, *COMMAND, f"--model_dir={folder}", f"--data_dir={data_dir}", *arguments]
        line.append(str(tmp_path / f"worker{index}.npz"))
        yield subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def finish(workers):
    ended = [worker.communicate(timeout=300) for worker in workers]
    return [worker.returncode for worker in workers], [error for _, error in ended]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, digits_dir):
    """The folder that two workers trained in, with the weights of each beside it."""
    tmp_path = tmp_path_factory.mktemp("workers")
    workers = list(start_workers(tmp_path / "run", digits_dir, tmp_path))
    codes, errors = finish(workers)
    assert codes == [0, 0], errors
    return tmp_path


def test_both_workers_end_with_the_same_weights(trained):
    first, second = (np.load(trained / f"worker{index}.npz") for index in range(2))
    assert len(first.files) > 50
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])


def test_the_chief_writes_one_run_folder(trained):
    results = json.loads((trained / "run" / "results.json").read_text())
    assert results["metrics"]["examples"] == 50 and results["steps"] == 6
    assert (trained / "run" / "saved_model" / "saved_model.pb").exists()
    lines = [json.loads(line) for line in (trained / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["split"] == "train"] == [3, 6]


def test_two_workers_see_the_batches_of_one_process(trained, digits_dir, tmp_path):
    """The first steps' loss is that of two replicas in one process: same examples, same initial weights."""
    arguments = [a for a in COMMAND if "strategy" not in a]
    line = [sys.executable, "-m", "trainers.main", *arguments, "--devices=cpu*2", "--noexport"]
    subprocess.run([*line, f"--model_dir={tmp_path}/run", f"--data_dir={digits_dir}"], check=True, capture_output=True)
    ours, theirs = (
        json.loads((folder / "run" / "metrics.jsonl").read_text().splitlines()[0]) for folder in (trained, tmp_path)
    )
    for name in ("loss", "top1", "gradient_norm", "parameter_norm"):
        assert ours[name] == pytest.approx(theirs[name], rel=1e-3), name


@pytest.mark.slow
def test_a_signal_to_one_worker_stops_both_at_one_step(tmp_path, digits_dir):
    workers = list(start_workers(tmp_path / "run", digits_dir, tmp_path, "--set=train.steps=100000"))
    while not (tmp_path / "run" / "metrics.jsonl").exists() and workers[0].poll() is None:
        time.sleep(0.2)
    workers[1].terminate()
    codes, errors = finish(workers)
    assert codes == [75, 75], errors
    steps = [error.split("stopped at step ")[1].split(";")[0] for error in errors]
    assert steps[0] == steps[1]
    assert (tmp_path / "run" / "checkpoints" / f"step-{int(steps[0]):08d}").is_dir()

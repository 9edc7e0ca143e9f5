"""A whole run of a tiny SHA-RNN: what it measures and leaves behind, how it goes on, and its second pass."""

import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import time
import types

import numpy as np
import pytest
import tensorflow as tf

from trainers.main import main
from trainers.run.checkpoints import Checkpoints
from trainers.tasks.text import segments

TINY = (
    "--experiment=sha_rnn_enwik8",
    "--data=synthetic",
    "--set=model.width=16",
    "--set=model.boom_width=32",
    "--set=model.num_layers=1",
    "--set=model.attention_layers=0",
    "--set=model.memory_size=24",
    "--set=data.segment_length=16",
    "--set=data.train_split=train[:2000]",
    "--set=data.validation_split=validation[:400]",
    "--set=data.test_split=test[:403]",
    "--set=data.validation_lanes=4",
    "--set=data.test_lanes=2",
    "--set=train.global_batch=4",
    "--set=train.log_every=1",
    "--set=train.eval_every=16",
    "--set=train.checkpoint_every=16",
    "--set=schedule.lr=0.01",
    "--set=schedule.warmup_steps=8",
)
ONE_CPU = ("--strategy=one_device", "--devices=cpu:0")  # two logical CPUs are configured in the tests' process

# Three epochs and a second pass of two, in lanes of 60. The rate is so high that the best weights are soon lost.
WARMUP, LR = 4, 0.2
TWO_PASSES = (
    *TINY,
    "--deterministic",
    "--set=data.train_split=train[:242]",
    "--set=train.epochs=5",
    "--set=schedule.second_pass_epochs=2",
    f"--set=schedule.lr={LR}",
    f"--set=schedule.warmup_steps={WARMUP}",
    "--set=train.select=last",
    "--set=train.eval_every=3",
    "--set=train.checkpoint_every=3",
    "--set=train.keep_checkpoints=9",
)
FIRST = segments.random_segments(60, 16, 5512, epochs=3)
SECOND = segments.random_segments(60, 16, 125, epochs=2)
BOUNDARY, END = len(FIRST), len(FIRST) + len(SECOND)


def command(folder, *arguments):
    return ["main", *TINY, f"--model_dir={folder}", *arguments]


def read_lines(folder, split):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["split"] == split]


def checkpoint(folder, step):
    """All variables of a checkpoint, by name."""
    reader = tf.train.load_checkpoint(str(Checkpoints(folder / "checkpoints", keep=1).path(step) / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("variables/")]
    return {_short(name): reader.get_tensor(name) for name in names}


def _short(name):
    return name.removeprefix("variables/").removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").replace(".S", "/")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run of an epoch."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(command(folder, *ONE_CPU)) == 0
    return folder


@pytest.fixture(scope="module")
def results(finished):
    return json.loads((finished / "results.json").read_text())


def test_the_first_loss_is_that_of_guessing_among_all_symbols(finished):
    assert read_lines(finished, "train")[0]["loss"] == pytest.approx(math.log(256), abs=0.05)


def test_the_loss_falls(finished):
    losses = [line["loss"] for line in read_lines(finished, "train")]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 1
    assert read_lines(finished, "eval")[-1]["loss"] < read_lines(finished, "eval")[0]["loss"]


def test_bits_per_character_and_bytes_are_logged(finished):
    lines = read_lines(finished, "train")
    for line in lines + read_lines(finished, "eval"):
        assert line["bpc"] == pytest.approx(line["loss"] / math.log(2), rel=1e-6)
    cut = segments.random_segments(500, 16, 5512, epochs=1)
    assert [line["bytes"] for line in lines] == (4 * np.cumsum(cut.length)).tolist()
    assert all(line["bytes_per_second"] > 0 for line in lines)


def test_results_stand_beside_the_paper_s_number(results):
    metrics = results["metrics"]
    assert list(metrics) == ["loss", "bpc", "bpc_author", "bytes", "lanes"]
    assert (metrics["bytes"], metrics["lanes"]) == (2 * 200, 2)
    assert metrics["bpc_author"] == pytest.approx(metrics["bpc"] * 200 / 201)
    assert results["paper"]["bpc"] == 1.076 and results["deviations"] and results["test_protocol"] == "2 lanes"


def test_the_best_weights_on_the_validation_text_are_tested(finished, results):
    evaluations = read_lines(finished, "eval")
    assert results["selected_step"] == min(evaluations, key=lambda line: line["loss"])["step"]


def test_evaluate_gives_the_numbers_of_the_run_and_the_compressors_of_the_same_bytes(finished, results, capsys):
    assert main(["main", "--mode=evaluate", f"--model_dir={finished}", "--json", *ONE_CPU]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated["split"] == "test[:403]"
    assert evaluated["metrics"] == pytest.approx(results["metrics"], rel=1e-5)
    bits = evaluated["compressors"]
    assert list(bits) == ["alone", "after the training part"]
    assert all(bits["after the training part"][name] < bits["alone"][name] for name in bits["alone"])


@pytest.mark.parametrize("split, shown, lanes", [("validation", "validation[:400]", 4), ("train", "train[:2000]", 4)])
def test_evaluate_measures_other_splits_in_readable_lines(finished, capsys, split, shown, lanes):
    assert main(["main", "--mode=evaluate", f"--model_dir={finished}", f"--split={split}", *ONE_CPU]) == 0
    first, *table = capsys.readouterr().out.splitlines()
    assert first == f"sha_rnn_enwik8 on synthetic_text, {shown}, {lanes} lanes (synthetic data)"
    names = [line.split()[0] for line in table]
    assert names == ["loss", "bpc", "bpc_author", "bytes", "lanes", "bits", "gzip", "bzip2", "xz", "zstd"]
    assert all(len(line) <= 120 for line in table)


def test_the_weights_of_a_run_are_read_into_another(finished, results, capsys):
    arguments = ("--mode=evaluate", f"--init_from={finished / 'model.keras'}", "--json")
    assert main(["main", *TINY, *arguments, *ONE_CPU]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == pytest.approx(results["metrics"], rel=1e-5)


def test_a_loss_that_explodes_ends_the_run_with_one_line(tmp_path, capsys):
    assert main(command(tmp_path, "--set=schedule.lr=1e30", *ONE_CPU)) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "no longer finite at step 1 (learning rate" in error and "no checkpoint has been saved yet" in error


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--jit_compile=on", *ONE_CPU], "--jit_compile=on: sha_rnn_enwik8's segments vary in length"),
        (
            ["--set=data.test_split=test[:3]", *ONE_CPU],
            "data.test_split=test[:3] has 3 bytes, which is too short for data.test_lanes=2 lanes of 2 bytes or more",
        ),
        (
            ["--set=data.train_split=train[:11]", *ONE_CPU],
            "data.train_split=train[:11] has 11 bytes, which is too short for train.global_batch=4 lanes of 3 bytes",
        ),
        (["--set=data.validation_split=validatoin", *ONE_CPU], "Unknown split 'validatoin'"),
        (
            ["--set=train.global_batch=3", "--strategy=mirrored", "--devices=cpu:0,cpu:1"],
            "train.global_batch=3 cannot be divided equally over 2 replicas",
        ),
        (
            ["--set=data.test_lanes=3", "--strategy=mirrored", "--devices=cpu:0,cpu:1"],
            "data.test_lanes=3 cannot be divided equally over 2 replicas",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(tmp_path, capsys, arguments, said):
    assert main(command(tmp_path / "run", *arguments)) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.strip().splitlines()) == 1
    assert not (tmp_path / "run" / "config.json").exists()


# A run of two passes, unbroken; then the same, killed in an epoch when its best checkpoint is saved but not yet marked,
# killed at the boundary of the passes, and stopped by a signal in the second. Killed leaves the disk as SIGKILL would.
SCRIPT = """
import json, os, signal, sys
from trainers.run.checkpoints import Checkpoints
from trainers.main import main
from trainers.modes.train import Training

class Killed(BaseException):
    pass

def stop():
    os.kill(os.getpid(), signal.SIGTERM)

def kill():
    raise Killed

def watch(owner, name, step_of):
    method = getattr(owner, name)
    def watched(self, *arguments):
        if ends and ends[0][:2] == (name, step_of(self, *arguments)):
            ends.pop(0)[2]()
        return method(self, *arguments)
    setattr(owner, name, watched)

watch(Training, "_between_calls", lambda self, step, window: step)
watch(Checkpoints, "mark_best", lambda self, step, metric, value: step)
watch(Training, "_begin_second_pass", lambda self: self._step)
Training._finish = lambda self: None

def run(folder):
    while True:
        try:
            status = main(["main", *sys.argv[3:], "--model_dir=" + folder])
        except Killed:
            status = "killed"
        yield status
        if status == 0:
            return

folder, boundary = sys.argv[1], int(sys.argv[2])
ends = []
assert list(run(folder + "/unbroken")) == [0]
evaluations = [json.loads(line) for line in open(folder + "/unbroken/metrics.jsonl")]
first_pass = [line for line in evaluations if line["split"] == "eval" and line["step"] <= boundary]
best = min(first_pass, key=lambda line: line["loss"])["step"]
ends = [
    ("mark_best", best, kill),
    ("_begin_second_pass", boundary, kill),
    ("_between_calls", boundary + 2, stop),
]
print(json.dumps({"best": best, "statuses": list(run(folder + "/broken"))}))
"""


@pytest.fixture(scope="module")
def two_passes(tmp_path_factory):
    """The folders of both runs, what they said, how the broken one ended each time, the first pass's best step."""
    folder = tmp_path_factory.mktemp("two_passes")
    line = [sys.executable, "-c", SCRIPT, str(folder), str(BOUNDARY), *TWO_PASSES]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return types.SimpleNamespace(
        unbroken=folder / "unbroken", broken=folder / "broken", said=done.stderr, **json.loads(done.stdout)
    )


def test_a_run_that_is_stopped_and_killed_ends_in_the_same_bits(two_passes):
    assert two_passes.statuses == ["killed", "killed", 75, 0]
    unbroken, broken = (checkpoint(folder, END) for folder in (two_passes.unbroken, two_passes.broken))
    assert {name.partition("/")[0] for name in unbroken} == {"model", "optimizer", "carried"}
    assert unbroken.keys() == broken.keys()
    for name, value in unbroken.items():
        np.testing.assert_array_equal(broken[name], value, err_msg=name)


def test_a_run_that_goes_on_reads_the_segments_that_come_next(two_passes):
    numbers = ("step", "loss", "lr", "bytes")
    unbroken, broken = (
        [[line[name] for name in numbers] for line in read_lines(folder, "train")]
        for folder in (two_passes.unbroken, two_passes.broken)
    )
    assert broken == unbroken and len(unbroken) == END


def test_the_second_pass_begins_once_where_the_first_ends(two_passes):
    said = f"second pass: from the weights of step {two_passes.best}, with a new optimizer state"
    assert two_passes.said.count(said) == two_passes.said.count("second pass:") == 2  # of either run
    lines = read_lines(two_passes.unbroken, "train")
    lengths = np.diff([0] + [line["bytes"] for line in lines]) // 4
    assert lengths.tolist() == [*FIRST.length, *SECOND.length]


def test_the_second_pass_warms_up_again_to_half_the_rate(two_passes):
    rates = [line["lr"] for line in read_lines(two_passes.unbroken, "train")]
    first, second = (np.minimum(np.arange(1, steps + 1) / WARMUP, 1) for steps in (BOUNDARY, END - BOUNDARY))
    np.testing.assert_allclose(rates, [*(LR * first), *(LR / 2 * second)], rtol=1e-6)


def test_the_second_pass_begins_with_the_best_weights_and_without_moments(two_passes):
    """Its first update is LAMB's very first, from the weights that were best and not from the last."""
    assert two_passes.best < BOUNDARY
    best, after = (checkpoint(two_passes.unbroken, step) for step in (two_passes.best, BOUNDARY + 1))
    names = [name.removeprefix("model/") for name in best if name.startswith("model/")]
    assert len(names) > 10
    for name in names:
        w = best[f"model/{name}"]
        m, v = (after[f"optimizer/lamb/{name.replace('/', '_')}_{slot}"] for slot in "mv")
        np.testing.assert_allclose(v, 0.1 * m**2, rtol=1e-4, atol=1e-12, err_msg=name)  # 0.001 g^2 of 0.1 g
        update = m / (np.sqrt(v) + 1e-6) + 1.2e-6 * w
        w_norm, norm = min(np.linalg.norm(w), 10), np.linalg.norm(update)
        trust = max(0.25, w_norm / norm if w_norm and norm else 1)
        expected = w - LR / 2 / WARMUP * trust * update
        np.testing.assert_allclose(after[f"model/{name}"], expected, rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_second_pass_begins_with_an_empty_state(two_passes):
    rows = [checkpoint(two_passes.unbroken, step)["carried/memory_rows"] for step in (BOUNDARY, BOUNDARY + 1)]
    assert rows[0].tolist() == [24] * 4 and rows[1].tolist() == [SECOND.length[0]] * 4


def start(folder, *arguments):
    line = [sys.executable, "-m", "trainers.main", *TWO_PASSES, f"--model_dir={folder}", *arguments]
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("devices", ["cpu:0", "cpu*2"])
def test_a_run_that_is_killed_at_random_moments_ends_in_the_same_bits(tmp_path, devices):
    moments, killed = random.Random(devices), 0
    while True:
        process = start(tmp_path / "killed", f"--devices={devices}")
        if killed < 4:
            seen = _written(tmp_path / "killed")
            while process.poll() is None and _written(tmp_path / "killed") == seen:
                time.sleep(0.005)
            time.sleep(moments.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
        error = process.communicate(timeout=300)[1]
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, error
        killed += 1
    assert start(tmp_path / "unbroken", f"--devices={devices}").wait(timeout=300) == 0
    unbroken, broken = (checkpoint(tmp_path / name, END) for name in ("unbroken", "killed"))
    assert killed >= 3 and unbroken.keys() == broken.keys()
    for name, value in unbroken.items():
        np.testing.assert_array_equal(broken[name], value, err_msg=name)


def _written(folder):
    checkpoints = folder / "checkpoints"
    return sorted(os.listdir(checkpoints)) if checkpoints.exists() else []


# The same command line, and then the weights of this worker, as it ended.
WORKER = """
import sys, numpy as np
from trainers.main import main
from trainers.modes.train import Training
def finish(self):
    np.savez(sys.argv[1], *[v.numpy() for v in self._state.model.weights])
Training._finish = finish
sys.exit(main(["main", *sys.argv[2:]]))
"""
SLOWLY = "--set=schedule.lr=0.01"  # what is rounded otherwise stays small


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """The folder that two worker processes trained in, with the weights of each beside it."""
    folder = tmp_path_factory.mktemp("workers")
    sockets = [socket.create_server(("localhost", 0)) for _ in range(2)]
    addresses = [f"localhost:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        env = {**os.environ, "TF_CONFIG": json.dumps(config), "CUDA_VISIBLE_DEVICES": "-1"}
        line = [sys.executable, "-c", WORKER, str(folder / f"worker{index}.npz"), *TWO_PASSES, SLOWLY]
        line += ["--strategy=multi_worker", f"--model_dir={folder / 'run'}"]
        processes.append(subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=env))
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    return folder


@pytest.mark.slow
def test_two_workers_end_with_the_same_weights(workers):
    first, second = (np.load(workers / f"worker{index}.npz") for index in range(2))
    assert len(first.files) > 10
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.slow
def test_the_chief_of_two_workers_saves_the_lanes_of_both(workers, tmp_path):
    assert start(tmp_path, "--devices=cpu*2", SLOWLY).wait(timeout=300) == 0
    ours, theirs = checkpoint(workers / "run", END), checkpoint(tmp_path, END)
    assert ours["carried/memory_rows"].shape == (4,) and ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-3, atol=1e-4, err_msg=name)

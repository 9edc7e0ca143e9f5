"""`--sweep_runner=ray` on a real cluster of one machine: a head without cores, and nodes that can be lost."""

import json
import signal
import subprocess
import sys
import time

import pytest

from trainers.main import main

pytestmark = pytest.mark.slow

LONG = [
    "--mode=sweep", "--experiment=dd_two_layer_linear", "--data=sample", "--set=train.steps=30000",
    "--set=train.checkpoint_every=1000", "--set=train.eval_every=1000", "--set=train.evals_per_decade=none",
    "--set=train.log_every=1000", "--grid=optimizer.weight_decay=0,0.1,0.2", "--seeds=0", "--sweep_runner=ray",
]  # fmt: skip
NAMES = {f"weight_decay{value}-seed0" for value in (0.0, 0.1, 0.2)}
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}


@pytest.fixture
def cluster(monkeypatch):
    """A Ray cluster of a head and two nodes of one core each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0})
    cluster.nodes = [cluster.add_node(**NODE) for _ in range(2)]
    yield cluster
    cluster.shutdown()


def start(folder, cluster):
    line = [sys.executable, "-m", "trainers.main", *LONG, f"--model_dir={folder}", f"--ray_address={cluster.address}"]
    return subprocess.Popen([*line, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def wait_for_checkpoints(folder, count, seconds=120):
    """Until so many trials have saved something."""
    until = time.monotonic() + seconds
    while len({path.parts[-3] for path in folder.glob("*/checkpoints/step-*")}) < count:
        assert time.monotonic() < until
        time.sleep(0.1)


def logs(folder):
    return {path.parent.name: path.read_text() for path in folder.glob("*/log.txt")}


def test_a_trial_of_a_node_that_is_lost_goes_on_elsewhere_and_all_end(tmp_path, cluster):
    process = start(tmp_path, cluster)
    wait_for_checkpoints(tmp_path, 2)
    cluster.remove_node(cluster.nodes.pop(), allow_graceful=False)
    summary = json.loads(process.communicate(timeout=300)[0])
    assert (process.returncode, summary["done"], summary["failed"]) == (0, 3, [])
    assert {path.parent.name for path in tmp_path.glob("*/results.json")} == NAMES
    assert [name for name, log in logs(tmp_path).items() if "resuming from step" in log]


def test_a_signal_lets_the_trials_save(tmp_path, cluster):
    process = start(tmp_path, cluster)
    wait_for_checkpoints(tmp_path, 2)
    process.send_signal(signal.SIGTERM)
    summary = json.loads(process.communicate(timeout=300)[0])
    assert (process.returncode, summary["failed"]) == (75, [])
    assert len([log for log in logs(tmp_path).values() if "everything is saved" in log]) == 2


def test_without_a_cluster_it_says_how_to_start_one(tmp_path, capsys):
    pytest.importorskip("ray")
    assert main(["main", *LONG, f"--model_dir={tmp_path}", "--ray_address=127.0.0.1:1"]) == 2
    assert "--ray_address=127.0.0.1:1: cannot reach a Ray cluster" in capsys.readouterr().err


def test_without_ray_it_says_how_to_install_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["main", *LONG, f"--model_dir={tmp_path}"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("--sweep_runner=ray: Ray is not installed.")

import pytest
import tensorflow as tf

from flags.errors import UserError
from trainers.run import strategy


def make(name="auto", cluster=None, devices=None):
    return strategy.make_strategy(name, cluster=cluster, devices=devices)


def test_one_cpu_needs_no_mirrors():
    chosen = make(devices="cpu:0")
    assert isinstance(chosen, tf.distribute.OneDeviceStrategy) and chosen.num_replicas_in_sync == 1


def test_several_devices_are_mirrored():
    chosen = make(devices="cpu:0,cpu:1")
    assert isinstance(chosen, tf.distribute.MirroredStrategy) and chosen.num_replicas_in_sync == 2


def total_of_ones(shape):
    """The sum over two replicas of ones of a shape, by a strategy that is made for it."""
    mirrored = make("mirrored", devices="cpu:0,cpu:1")

    def of_replica():
        return tf.distribute.get_replica_context().all_reduce("SUM", tf.ones(shape))

    @tf.function
    def total():
        return mirrored.experimental_local_results(mirrored.run(of_replica))[0]

    return total().numpy().tolist()


def test_runs_of_one_process_follow_one_another_on_the_same_devices():
    assert total_of_ones([2]) == [2, 2]
    assert total_of_ones([3]) == [2, 2, 2]


@pytest.mark.parametrize("devices", ["gpu:0", "cpu:0,cpu:7"])
def test_a_device_that_is_not_there_is_named_with_those_that_are(devices):
    with pytest.raises(UserError, match=r"this machine has no (gpu:0|cpu:7)\. Available: .*cpu:0, cpu:1"):
        make("mirrored", devices=devices)


HALF_DESCRIBED = '{"cluster": {"worker": ["a:1"]}, "task": {}}'


@pytest.mark.parametrize("described", ["", "{", "[]", '{"cluster": {}}', HALF_DESCRIBED])
def test_a_cluster_that_is_not_described_is_said_in_one_line(described, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", described)
    with pytest.raises(UserError, match="TF_CONFIG does not describe a cluster"):
        make("multi_worker")


def test_slurm_outside_a_job_is_said_in_one_line(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(UserError, match="not a Slurm job"):
        make(cluster="slurm")


def test_a_cpu_computes_in_float32_without_xla():
    chosen = make(devices="cpu:0")
    assert strategy.set_precision("auto", chosen) == "float32"
    assert not strategy.jit_compile("auto", chosen) and strategy.jit_compile("on", chosen)


def test_a_process_alone_is_the_chief():
    assert strategy.is_chief(make(devices="cpu:0")) and not strategy.is_cluster(make(devices="cpu:0"))

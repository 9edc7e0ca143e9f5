"""Devices, distribution strategy and precision of a run."""

from __future__ import annotations

import functools
import json
import os
import re

import keras
import tensorflow as tf
from absl import logging

from flags.errors import UserError


def configure(*, devices: str | None, seed: int, deterministic: bool) -> None:
    """Applies settings that TensorFlow accepts only before its first operation: logical CPUs, seeds, determinism.

    `devices="cpu*2"` creates two logical CPU devices, so that replicas can be tested without GPUs.
    """
    match = re.fullmatch(r"cpu\*(\d+)", devices or "")
    if match:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * int(match[1]))
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def make_strategy(name: str, *, cluster: str | None, devices: str | None) -> tf.distribute.Strategy:
    """Returns the strategy `one_device`, `mirrored`, `multi_worker` or `tpu`; `auto` chooses one for the devices.

    `auto`: all GPUs mirrored; else several logical CPUs mirrored; else the CPU. With `multi_worker` this must run
    before any other operation: it connects the workers, and waits for all of them.

    Raises:
        UserError: a device does not exist, or the cluster is not described.
    """
    if name == "auto" and cluster is not None:
        name = "tpu" if cluster == "tpu" else "multi_worker"
    if name == "tpu":
        return _tpu()
    if name == "multi_worker":
        return _multi_worker(cluster or "tf_config")
    chosen = _devices(devices)
    if name == "auto":
        name = "mirrored" if len(chosen) > 1 or "GPU" in chosen[0] else "one_device"
    if name == "one_device":
        if len(chosen) > 1 and devices is not None:
            raise UserError(
                f"--strategy=one_device with --devices={devices}: give one device, or use --strategy=mirrored"
            )
        return tf.distribute.OneDeviceStrategy(chosen[0])
    return _mirrored(tuple(chosen))


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One per process for the same devices, so that runs in one process can follow one another.

    TensorFlow numbers the collective operations of every strategy from 100, and takes the first one of a second
    strategy for a repetition of the first one's: "Shape mismatch in the collective instance 100".
    """
    return tf.distribute.MirroredStrategy(devices)


def _devices(devices: str | None) -> list[str]:
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
    if devices is None:
        return gpus or cpus
    if re.fullmatch(r"cpu\*\d+", devices):
        return cpus
    chosen = []
    for device in devices.split(","):
        kind, _, index = device.strip().upper().partition(":")
        there = {"GPU": gpus, "CPU": cpus}[kind]
        if int(index or 0) >= len(there):
            have = ", ".join(f"{k}:{i}" for k, names in (("gpu", gpus), ("cpu", cpus)) for i in range(len(names)))
            raise UserError(f"--devices={devices}: this machine has no {device.strip()}. Available: {have}.")
        chosen.append(there[int(index or 0)])
    return chosen


def _multi_worker(cluster: str) -> tf.distribute.Strategy:
    if cluster == "slurm":
        if "SLURM_JOB_ID" not in os.environ:
            raise UserError(
                "--cluster=slurm: this is not a Slurm job (no SLURM_JOB_ID). Start it with srun; see BUILD.md."
            )
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver()
    else:
        try:
            described = json.loads(os.environ.get("TF_CONFIG", ""))
            described["cluster"]["worker"], described["task"]["index"]
        except (ValueError, KeyError, TypeError):
            raise UserError(
                "--cluster=tf_config: TF_CONFIG does not describe a cluster. Set it on every worker to "
                '{"cluster": {"worker": '
                '["host:port", ...]}, "task": {"type": "worker", "index": 0}}; see BUILD.md.'
            ) from None
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)


def _tpu() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=os.environ.get("TPU_NAME", "local"))
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError, RuntimeError) as error:
        raise UserError(
            f"--strategy=tpu: cannot connect to a TPU ({str(error).splitlines()[0]}). Set TPU_NAME; see BUILD.md."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the run's files: worker 0, or the only one."""
    return not is_cluster(strategy) or strategy.cluster_resolver.task_id in (None, 0)


def is_cluster(strategy: tf.distribute.Strategy) -> bool:
    """Whether several processes, each running this program, train together."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def set_precision(precision: str, strategy: tf.distribute.Strategy) -> str:
    """Sets Keras's dtype policy for all layers created from now on; returns its name.

    `auto`: bfloat16 activations on TPUs and on GPUs that support it (capability 8.0), float16 with loss scaling
    on older tensor-core GPUs, float32 elsewhere.
    """
    if precision == "auto":
        precision = _best_precision(strategy)
    keras.config.set_dtype_policy(precision)
    return precision


def _best_precision(strategy: tf.distribute.Strategy) -> str:
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return "mixed_bfloat16"
    if not uses_gpu(strategy):
        return "float32"
    details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    capability = min(detail.get("compute_capability", (0, 0)) for detail in details)
    return "mixed_bfloat16" if capability >= (8, 0) else "mixed_float16" if capability >= (7, 0) else "float32"


def uses_gpu(strategy: tf.distribute.Strategy) -> bool:
    return any("GPU" in device for device in strategy.extended.worker_devices)


def jit_compile(choice: str, strategy: tf.distribute.Strategy) -> bool:
    """`auto`: XLA on GPUs; off on the CPU, where its convolutions are several times slower than oneDNN's.

    On a TPU everything is compiled anyway.
    """
    return choice == "on" or (choice == "auto" and uses_gpu(strategy))


def describe(strategy: tf.distribute.Strategy, precision: str) -> str:
    """One line: devices, replicas, precision."""
    devices = ", ".join(name.rpartition("device:")[2] or name for name in strategy.extended.worker_devices)
    replicas = strategy.num_replicas_in_sync
    logging.debug("devices of this worker: %s", strategy.extended.worker_devices)
    return f"{type(strategy).__name__} on {devices}; {replicas} replica{'s' if replicas > 1 else ''}; {precision}"

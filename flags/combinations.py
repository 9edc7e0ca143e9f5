"""Which flags go with which mode, and which with one another; before anything is known of the experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flags.errors import UserError

ONLY_IN = {  # flags that mean nothing in other modes
    "json": ("describe", "evaluate", "benchmark", "sweep"),
    "split": ("evaluate",),
    "ensemble": ("evaluate",),
    "runs": ("report",),
    "images": ("predict",),
    "prompt": ("generate",),
    "length": ("generate",),
    "temperature": ("generate",),
    "top_k": ("generate",),
    "top_p": ("generate",),
    "export": ("train", "sweep"),
    "grid": ("sweep",),
    "seeds": ("sweep",),
    "parallel": ("sweep",),
    "trials_per_gpu": ("sweep",),
    "sweep_shard": ("sweep",),
    "sweep_runner": ("sweep",),
    "ray_address": ("sweep",),
    "profile": ("train",),
    "init_from": ("train", "evaluate", "export"),
}
ALONE = {  # flag -> others that it leaves no room for
    "ensemble": ("model_dir", "experiment", "data"),
    "runs": ("experiment", "data", "set"),
}
CLUSTERS = {  # strategy -> how its machines may find each other
    "auto": ("tf_config", "slurm", "tpu"),
    "multi_worker": ("tf_config", "slurm"),
    "tpu": ("tpu",),
    "one_device": (),
    "mirrored": (),
}


def check(given: Mapping[str, Any], mode: str) -> None:
    """Raises UserError where two of the flags that were given contradict each other, or one the mode."""
    _check_modes(given, mode)
    _check_devices(given)
    if mode == "sweep":
        _check_sweep(given)


def _check_modes(given: Mapping[str, Any], mode: str) -> None:
    for name, modes in ONLY_IN.items():
        if given.get(name) not in (None, False) and mode not in modes:
            raise UserError(f"--{name} means nothing in --mode={mode}. It belongs to --mode={' or '.join(modes)}.")
    if mode == "evaluate" and given.get("init_from"):
        clash = next((name for name in ("model_dir", "ensemble") if given.get(name)), None)
        if clash:
            raise UserError(f"--init_from names the weights to evaluate: leave --{clash} out.")
    for name, others in ALONE.items():
        clash = next((other for other in others if given.get(other)), None)
        if given.get(name) and clash:
            raise UserError(f"--{name} names the runs itself: leave --{clash} out.")


def _check_devices(given: Mapping[str, Any]) -> None:
    strategy, cluster, devices = given.get("strategy", "auto"), given.get("cluster"), given.get("devices")
    if cluster and cluster not in CLUSTERS[strategy]:
        fitting = " or ".join(f"--strategy={name}" for name, clusters in CLUSTERS.items() if cluster in clusters)
        raise UserError(f"--cluster={cluster} does not go with --strategy={strategy}. It goes with {fitting}.")
    if devices and (strategy in ("multi_worker", "tpu") or cluster):
        raise UserError(
            f"--devices={devices}: in a cluster every worker uses all that it sees. Leave --devices out; "
            "CUDA_VISIBLE_DEVICES hides GPUs from a worker."
        )
    if strategy == "one_device" and devices and ("," in devices or "*" in devices):
        raise UserError(f"--devices={devices}: --strategy=one_device takes one. Name one, or use --strategy=mirrored.")


def _check_sweep(given: Mapping[str, Any]) -> None:
    if "seed" in given:
        raise UserError(f"--seed={given['seed']}: the trials of a sweep have --seeds={given['seed']}.")
    if given.get("strategy", "auto") not in ("auto", "one_device"):
        raise UserError(f"--strategy={given['strategy']}: a trial of a sweep runs on one device. Leave it out.")
    if given.get("devices", "cpu:0") != "cpu:0":
        raise UserError(
            f"--devices={given['devices']}: a sweep divides the devices among its trials. Leave it out; "
            "CUDA_VISIBLE_DEVICES hides GPUs from all of them, and --devices=cpu uses none."
        )
    if given.get("parallel") and given.get("trials_per_gpu"):
        raise UserError("--parallel and --trials_per_gpu both say how many trials run at once. Give one of them.")
    if given.get("ray_address") and given.get("sweep_runner") != "ray":
        raise UserError(f"--ray_address={given['ray_address']}: means nothing without --sweep_runner=ray.")

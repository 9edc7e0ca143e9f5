"""Checks which flags can be combined with a mode and with each other, before the experiment is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flags.errors import UserError

ONLY_IN = {  # flag -> the only modes that use it
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
ALONE = {  # flag -> flags that it excludes
    "ensemble": ("model_dir", "experiment", "data"),
    "runs": ("experiment", "data", "set"),
}
CLUSTERS = {  # strategy -> the ways its machines can find each other
    "auto": ("tf_config", "slurm", "tpu"),
    "multi_worker": ("tf_config", "slurm"),
    "tpu": ("tpu",),
    "one_device": (),
    "mirrored": (),
}


def check(given: Mapping[str, Any], mode: str) -> None:
    """Raises UserError if two of the given flags contradict each other or the mode."""
    _check_modes(given, mode)
    _check_devices(given)
    if mode == "sweep":
        _check_sweep(given)


def _check_modes(given: Mapping[str, Any], mode: str) -> None:
    for name, modes in ONLY_IN.items():
        if given.get(name) not in (None, False) and mode not in modes:
            raise UserError(f"--{name} has no effect with --mode={mode}. Use it with --mode={' or '.join(modes)}.")
    if mode == "evaluate" and given.get("init_from"):
        clash = next((name for name in ("model_dir", "ensemble") if given.get(name)), None)
        if clash:
            raise UserError(f"--init_from already names the weights to evaluate. Remove --{clash}.")
    for name, others in ALONE.items():
        clash = next((other for other in others if given.get(other)), None)
        if given.get(name) and clash:
            raise UserError(f"--{name} already names the runs. Remove --{clash}.")


def _check_devices(given: Mapping[str, Any]) -> None:
    strategy, cluster, devices = given.get("strategy", "auto"), given.get("cluster"), given.get("devices")
    if cluster and cluster not in CLUSTERS[strategy]:
        fitting = " or ".join(f"--strategy={name}" for name, clusters in CLUSTERS.items() if cluster in clusters)
        raise UserError(f"--cluster={cluster} cannot be used with --strategy={strategy}. Use it with {fitting}.")
    if devices and (strategy in ("multi_worker", "tpu") or cluster):
        raise UserError(
            f"--devices={devices}: in a cluster every worker uses all devices it can see. Remove --devices; "
            "set CUDA_VISIBLE_DEVICES to hide GPUs from a worker."
        )
    if strategy == "one_device" and devices and ("," in devices or "*" in devices):
        raise UserError(
            f"--devices={devices}: --strategy=one_device takes one device. Name one, or use --strategy=mirrored."
        )


def _check_sweep(given: Mapping[str, Any]) -> None:
    if "seed" in given:
        raise UserError(f"--seed={given['seed']}: a sweep takes --seeds. Give --seeds={given['seed']}.")
    if given.get("strategy", "auto") not in ("auto", "one_device"):
        raise UserError(f"--strategy={given['strategy']}: each trial of a sweep runs on one device. Remove --strategy.")
    if given.get("devices", "cpu:0") != "cpu:0":
        raise UserError(
            f"--devices={given['devices']}: a sweep divides the devices among its trials. Remove --devices; "
            "set CUDA_VISIBLE_DEVICES to hide GPUs from all trials, or use --devices=cpu to use no GPU."
        )
    if given.get("parallel") and given.get("trials_per_gpu"):
        raise UserError("--parallel and --trials_per_gpu both set how many trials run at once. Give only one.")
    if given.get("ray_address") and given.get("sweep_runner") != "ray":
        raise UserError(f"--ray_address={given['ray_address']}: has no effect without --sweep_runner=ray.")

"""Runs trials on a Ray cluster: each is a Ray task that runs the worker's code on any node with free resources.

All nodes must see this program, the sweep's folder and the data under the same paths as here. Ray restarts a trial when
its process or node is lost; the trial resumes from its checkpoint.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import re
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from flags.errors import UserError
from flags.sweep import Trial
from trainers.run.signals import STOPPED
from trainers.sweeps.local import THREADS
from trainers.sweeps.trial_queue import TrialResult
from trainers.sweeps.worker import run_trial

PROGRAM = pathlib.Path(__file__).parents[2]
MOST_LOSSES = 3  # lost processes or nodes per trial before it counts as failed
SECONDS_TO_ANSWER = 10
SECONDS_TO_SAVE = 600  # for trials that are told to stop


class RayRunner:
    """Runs tasks on the cluster at `address`; None: the one that Ray finds, or a new one on this machine.

    Args:
        at_once: number of trials that share the cluster's cores; None: one per GPU, else one per core.
        trials_per_gpu: number of trials per GPU, if the cluster has GPUs.
        command: returns the arguments of a trial, and its log.

    Raises:
        UserError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(
        self,
        address: str | None,
        at_once: int | None,
        trials_per_gpu: int,
        command: Callable[[Trial], tuple[list[str], str]],
    ):
        self._ray = _ray()
        self._at_once = at_once
        self._trials_per_gpu = trials_per_gpu
        self._command = command
        self._running: dict[Any, Trial] = {}
        self._stop_by: float | None = None
        try:
            check_reachable(address)
            self._ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"--ray_address={address}: cannot reach a Ray cluster ({str(error).splitlines()[0]}). Start one with "
                "ray start --head, or remove --ray_address."
            ) from error
        self._task = self._ray.remote(run_trial)
        self._stdout = contextlib.redirect_stdout(sys.stderr)  # Ray reports lost nodes on stdout
        self._stdout.__enter__()

    @property
    def at_once(self) -> int:
        """The number of trials that the cluster can currently run at once."""
        if self._at_once is not None:
            return self._at_once
        there = self._ray.cluster_resources()
        return max(1, int(there.get("GPU", 0) * self._trials_per_gpu or there.get("CPU", 1)))

    def start(self, trial: Trial) -> None:
        there = self._ray.cluster_resources()
        has_gpus = there.get("GPU", 0) > 0
        most = max((node["Resources"].get("CPU", 0) for node in self._ray.nodes() if node["Alive"]), default=0)
        cpus = max(1, int(min(there.get("CPU", 0) // self.at_once, most)))
        paths = [str(PROGRAM), *filter(None, [os.environ.get("PYTHONPATH")])]
        own = {name: str(cpus) for name in THREADS} | {"PYTHONPATH": os.pathsep.join(paths)}
        task = self._task.options(
            name=trial.name,
            num_cpus=cpus,
            num_gpus=1 / self._trials_per_gpu if has_gpus else 0,
            max_retries=MOST_LOSSES,
            runtime_env={"env_vars": own},
        )
        self._running[task.remote(*self._command(trial))] = trial

    def wait(self, seconds: float) -> list[TrialResult]:
        """Waits until a trial ends, at most `seconds`; returns the results of trials that have ended."""
        if self._stop_by is not None and time.monotonic() > self._stop_by:
            ended = list(self._running)
        else:
            ended, _ = self._ray.wait(list(self._running), timeout=seconds)
        return [self._ending(reference) for reference in ended]

    def stop(self) -> None:
        """Tells every trial to save and exit."""
        self._stop_by = time.monotonic() + SECONDS_TO_SAVE
        for reference in self._running:
            self._ray.cancel(reference)

    def close(self) -> None:
        self._ray.shutdown()
        self._stdout.__exit__(None, None, None)

    def _ending(self, reference: Any) -> TrialResult:
        trial = self._running.pop(reference)
        try:
            status = self._ray.get(reference, timeout=0)
        except self._ray.exceptions.RayError as error:
            if self._stop_by is not None:
                return TrialResult(trial, STOPPED)
            return TrialResult(trial, 1, str(error).splitlines()[0])
        return TrialResult(trial, status, f"status {status}")


def check_reachable(address: str | None) -> None:
    """Raises OSError if nothing listens at `address`; Ray itself would retry for minutes."""
    match = re.fullmatch(r"([^/:]+):(\d+)", address or "")
    if match:
        socket.create_connection((match[1], int(match[2])), timeout=SECONDS_TO_ANSWER).close()


def _ray():
    try:
        import ray
    except ImportError:
        raise UserError(
            "--sweep_runner=ray: Ray is not installed. Install it (pip install ray), or remove --sweep_runner."
        ) from None
    return ray

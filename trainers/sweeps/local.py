"""Runs trials on this machine in worker processes that share its cores or GPUs."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

from flags.sweep import Trial
from trainers.run.signals import STOPPED
from trainers.sweeps.trial_queue import TrialResult

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
SECONDS_TO_END = 20  # for a worker that is no longer needed
TRIALS_OF_A_WORKER = 50  # TensorFlow leaks about 10 MB per trial, so workers are replaced


def cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalRunner:
    """Worker processes that run one trial after another.

    Args:
        at_once: number of trials to run at once.
        gpus: the GPUs, as CUDA_VISIBLE_DEVICES names them, assigned to workers in turn; if empty, the workers divide
            the CPU cores.
        command: returns the arguments of a trial, and its log.
    """

    def __init__(self, at_once: int, gpus: Sequence[str], command: Callable[[Trial], tuple[list[str], str]]):
        self.at_once = at_once
        self._gpus = gpus
        self._command = command
        self._workers: dict[int, subprocess.Popen] = {}
        self._running: dict[int, Trial] = {}
        self._served: dict[int, int] = {}  # number of trials given to each worker
        self._selector = selectors.DefaultSelector()
        self._is_stopping = False

    def start(self, trial: Trial) -> None:
        """Gives a trial to an idle worker."""
        number = next(number for number in range(self.at_once) if number not in self._running)
        self._running[number] = trial
        if number in self._workers and (
            self._workers[number].poll() is not None or self._served[number] == TRIALS_OF_A_WORKER
        ):
            self._drop_worker(number)
        if number not in self._workers:
            self._workers[number], self._served[number] = self._start_worker(number), 0
            self._selector.register(self._workers[number].stdout, selectors.EVENT_READ, number)
        self._served[number] += 1
        with contextlib.suppress(OSError):  # the worker has died: `wait` will notice
            self._workers[number].stdin.write(json.dumps(self._command(trial)) + "\n")
            self._workers[number].stdin.flush()

    def wait(self, seconds: float) -> list[TrialResult]:
        """Waits until a trial ends, at most `seconds`; returns the results of trials that have ended."""
        endings = [self._ending(key.data) for key, _ in self._selector.select(seconds)]
        return [ending for ending in endings if ending is not None]

    def stop(self) -> None:
        """Tells every worker to save and exit."""
        self._is_stopping = True
        for process in self._workers.values():
            process.terminate()

    def close(self) -> None:
        """Lets idle workers exit; a worker with a trial saves it first, without being waited for."""
        for number, process in self._workers.items():
            with contextlib.suppress(OSError):
                process.stdin.close()
            if number not in self._running:
                _ended(process)
        self._selector.close()

    def _ending(self, number: int) -> TrialResult | None:
        """The result that a worker reports; a worker that reports nothing has died and is replaced."""
        answer = self._workers[number].stdout.readline().strip()
        status = int(answer) if answer else self._drop_worker(number)
        trial = self._running.pop(number, None)
        if trial is None:
            return None
        if self._is_stopping and not answer:
            return TrialResult(trial, STOPPED)
        return TrialResult(
            trial, status, f"killed by {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        )

    def _drop_worker(self, number: int) -> int:
        """Removes a worker that has exited or is idle; returns its exit status."""
        process = self._workers.pop(number)
        self._selector.unregister(process.stdout)
        with contextlib.suppress(OSError):
            process.stdin.close()
        return _ended(process)

    def _start_worker(self, number: int) -> subprocess.Popen:
        environment = dict(os.environ)
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self._gpus[number % len(self._gpus)]
        for name in THREADS:
            environment.setdefault(name, str(max(1, cores() // self.at_once)))
        return subprocess.Popen(
            [sys.executable, "-m", "trainers.sweeps.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches only the parent, which stops the workers
        )


def _ended(process: subprocess.Popen) -> int:
    """Waits, for a limited time, until an idle process exits; returns its status."""
    try:
        return process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()

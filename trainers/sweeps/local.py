"""Trials on this machine: as many worker processes as there are cores or GPUs, each with its share of them."""

from __future__ import annotations

import json
import os
import pathlib
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

FAILED = 1


class Pool:
    """Workers that take trials from one list.

    Args:
        count: how many work at once.
        gpus: how many GPUs they divide among them, one after the other; 0: they divide the cores.
    """

    def __init__(self, count: int, gpus: int = 0):
        self._count = count
        self._gpus = gpus
        self._processes: dict[int, subprocess.Popen] = {}
        self._is_stopping = False

    def run(
        self,
        trials: Sequence[tuple[list[str], pathlib.Path]],
        ended: Callable[[int, int], None],
    ) -> None:
        """Runs all trials (arguments, folder); tells of each, by its place, with what status it ended.

        A worker that dies fails its trial, and another takes its place. Returns when all have ended, or, after `stop`,
        those under way.
        """
        waiting: queue.Queue = queue.Queue()
        for place in range(len(trials)):
            waiting.put(place)
        events: queue.Queue = queue.Queue()
        threads = [
            threading.Thread(target=self._work, args=(number, trials, waiting, events), daemon=True)
            for number in range(min(self._count, len(trials)))
        ]
        for thread in threads:
            thread.start()
        left = len(threads)
        while left:
            try:
                place, status = events.get(timeout=0.5)  # a signal is seen between waits
            except queue.Empty:
                continue
            if place is None:
                left -= 1
            else:
                ended(place, status)

    def stop(self) -> None:
        """Asks every worker to save and end."""
        self._is_stopping = True
        for process in list(self._processes.values()):
            process.terminate()

    def _work(self, number: int, trials, waiting: queue.Queue, events: queue.Queue) -> None:
        while not self._is_stopping:
            try:
                place = waiting.get_nowait()
            except queue.Empty:
                break
            arguments, folder = trials[place]
            folder.mkdir(parents=True, exist_ok=True)
            events.put((place, self._run_trial(number, arguments, folder / "log.txt")))
        process = self._processes.pop(number, None)
        if process is not None:
            process.stdin.close()
            process.wait()
        events.put((None, None))

    def _run_trial(self, number: int, arguments: list[str], log: pathlib.Path) -> int:
        process = self._processes.get(number)
        if process is None or process.poll() is not None:
            process = self._processes[number] = self._start(number)
        try:
            process.stdin.write(json.dumps([arguments, str(log)]) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except OSError:
            answer = ""
        return int(answer) if answer.strip() else FAILED

    def _start(self, number: int) -> subprocess.Popen:
        environment = dict(os.environ)
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = str(number % self._gpus)
        threads = str(max(1, (os.cpu_count() or 1) // self._count))
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OPENBLAS_NUM_THREADS"):
            environment.setdefault(name, threads)
        return subprocess.Popen(
            [sys.executable, "-m", "trainers.sweeps.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

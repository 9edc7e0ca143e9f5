"""`--mode=sweep`: runs the trials of an experiment's figure in parallel, each an ordinary run; resumable."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import shlex
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import tensorflow as tf

from flags.errors import RunError, UserError
from flags.recipe import Experiment
from flags.run import Run
from flags.sweep import Sweep, Trial
from trainers.modes.report import write_report
from trainers.run.console import duration
from trainers.run.files import write_json
from trainers.run.signals import Stopped, StopSignals
from trainers.session import choose_data, find_source
from trainers.sweeps.folder import SweepFolder
from trainers.sweeps.local import LocalRunner, cores
from trainers.sweeps.plan import plan_of
from trainers.sweeps.table import Table
from trainers.sweeps.trial_queue import TrialQueue, TrialResult

SWEEP_FLAGS = ("grid", "seeds", "parallel", "trials_per_gpu", "sweep_shard", "sweep_runner", "ray_address")
SECONDS_BETWEEN = 0.5  # interval at which signals and the table are updated


class Runner(Protocol):
    """Executes trials."""

    at_once: int

    def start(self, trial: Trial) -> None: ...

    def wait(self, seconds: float) -> list[TrialResult]: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...


def sweep(run: Run) -> None:
    """Runs the missing trials of the experiment's sweep (or its `--sweep_shard`); draws the figures when complete.

    Raises:
        UserError: the experiment has no sweep, the folder contains another one, or the data set is missing.
        RunError: trials failed; the other trials were run.
        Stopped: stopped by SIGTERM or Ctrl-C, with everything saved.
    """
    gpus = [] if run.devices else _gpus(run)
    data, _ = choose_data(run)
    recipe, chosen = run.recipe_for(data), run.sweep_for(data)
    if chosen is None:
        raise UserError(
            f"--mode=sweep: {recipe.name} has no sweep on {data} data. Define one with "
            "--grid=train.global_batch=64,128 or --seeds=0,1,2, or use --mode=train."
        )
    if chosen.ladder is not None and not recipe.train.measure_fit:
        raise UserError(f"{recipe.name}: its ladder needs the training error. Give --set=train.measure_fit=true.")
    _open_data_sets(run, data, chosen)
    folder = SweepFolder(run.folder_for(data))
    with folder.locked(run.sweep_shard):
        folder.claim(run, data, recipe, chosen)
        queue = TrialQueue(plan_of(chosen, run.sweep_shard), folder)
        began = time.monotonic()
        if queue.waiting():
            with _runner(run, gpus, functools.partial(_command, run, data, folder)) as runner, StopSignals() as signals:
                _drive(queue, runner, signals, quiet=run.quiet)
        if chosen.ladder is not None:
            _write_brackets(folder, chosen)
        summary = _summary(run, recipe, data, queue, time.monotonic() - began)
    if summary["done"] and not summary["left"] and not run.sweep_shard:  # other shards may still be running
        summary["report"] = _draw(run, folder)
    _tell(run, summary)


def _drive(queue: TrialQueue, runner: Runner, signals: StopSignals, *, quiet: bool) -> None:
    """Keeps a runner busy until no trials are left; once stopped, waits for the running trials."""
    table = Table(queue, quiet=quiet)
    is_told = False
    try:
        while True:
            if signals.requested and not is_told:
                runner.stop()
                is_told = True
            if not signals.requested:
                for trial in queue.waiting()[: max(0, runner.at_once - len(queue.running))]:
                    queue.start(trial)
                    runner.start(trial)
            if not queue.running:
                break
            for ending in runner.wait(SECONDS_BETWEEN):
                table.ended(queue.end(ending), runner.at_once)
            table.show(runner.at_once)
    finally:
        table.close()


@contextlib.contextmanager
def _runner(run: Run, gpus: list[str], command: Callable[[Trial], tuple[list[str], str]]) -> Iterator[Runner]:
    if run.sweep_runner == "ray":
        from trainers.sweeps.ray_runner import RayRunner

        runner = RayRunner(run.ray_address, run.parallel, run.trials_per_gpu or 1, command)
    else:
        at_once = run.parallel or len(gpus) * (run.trials_per_gpu or 1) or cores()
        runner = LocalRunner(at_once, gpus, command)
    try:
        yield runner
    finally:
        runner.close()


def _gpus(run: Run) -> list[str]:
    """The GPUs of this machine, as CUDA_VISIBLE_DEVICES names them; hides them from this process.

    Raises:
        UserError: --trials_per_gpu was given, but there is no GPU.
    """
    found = tf.config.list_physical_devices("GPU")
    if run.trials_per_gpu and not found and run.sweep_runner == "local":
        raise UserError(f"--trials_per_gpu={run.trials_per_gpu}: TensorFlow finds no GPU. Use --parallel instead.")
    if found:
        tf.config.set_visible_devices([], "GPU")
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[: len(found)] if named else [str(number) for number in range(len(found))]


def _open_data_sets(run: Run, data: str, chosen: Sweep) -> None:
    """Prepares the data sets once, instead of in every trial; reports a missing one once."""
    runs = [run.with_values(point) for point in chosen.points]
    for trial in {trial.recipe_for(data).data.name: trial for trial in runs}.values():
        find_source(trial, data).ensure_prepared(run.download)


def _command(run: Run, data: str, folder: SweepFolder, trial: Trial) -> tuple[list[str], str]:
    """The command line of a trial, and its log; paths are absolute because cluster nodes have other working folders."""
    path = folder.path.absolute() / trial.name
    arguments = run.with_values(trial.values).arguments(
        mode="train",
        data=data,
        data_dir=_absolute(run.data_dir),
        model_dir=str(path),
        seed=trial.seed,
        strategy="one_device",
        json=False,
        quiet=False,
        **dict.fromkeys(SWEEP_FLAGS),
    )
    return arguments, str(path / "log.txt")


def _absolute(path: str | None) -> str | None:
    return path if path is None or "://" in path else str(pathlib.Path(path).absolute())


def _write_brackets(folder: SweepFolder, chosen: Sweep) -> None:
    """Writes emc.json from the results of all parts of the sweep so far."""
    with folder.alone():
        plan = plan_of(chosen)
        write_json(folder.emc, {"path": chosen.ladder.path, "points": plan.brackets(folder.finished(plan))})


def _draw(run: Run, folder: SweepFolder) -> str:
    """Draws the figures of the sweep; returns the path of the page with them."""
    write_report(dataclasses.replace(run, mode="report", model_dir=str(folder.path)))
    return str(folder.path / "report" / "index.html")


def _summary(run: Run, recipe: Experiment, data: str, queue: TrialQueue, seconds: float) -> dict[str, Any]:
    folder = queue.folder
    failed = [
        {"trial": name, "why": ending.why, "log": str(folder.log(ending.trial))}
        for name, ending in queue.failed.items()
    ]
    left = len(queue.waiting())
    return {
        "experiment": recipe.name,
        "data": data,
        "folder": str(folder.path),
        "shard": "/".join(map(str, run.sweep_shard)) if run.sweep_shard else None,
        "trials": len(queue.finished) + left + len(failed),
        "done": len(queue.finished),
        "left": left,
        "failed": failed,
        "seconds": round(seconds, 1),
        "emc": str(folder.emc) if folder.emc.exists() else None,
        "report": None,
    }


def _tell(run: Run, summary: dict[str, Any]) -> None:
    """Prints the summary, or raises the error that sets the exit status."""
    folder, failed = summary["folder"], summary["failed"]
    if run.json:
        print(json.dumps(summary))
    if summary["left"]:
        raise Stopped(f"stopped; everything is saved in {folder}; run the same command to resume")
    if failed:
        logs = ", ".join(one["log"] for one in failed)
        raise RunError(
            f"{len(failed)} of {summary['trials']} trials failed: see {logs}. The others are done; rerun the same "
            "command to retry these."
        )
    if not run.json:
        part = f" of part {summary['shard']}" if summary["shard"] else ""
        brackets = f"effective complexity: {summary['emc']}\n" if summary["emc"] else ""
        drawn = (
            summary["report"] or f"draw them: python -m trainers.main --mode=report --model_dir={shlex.quote(folder)}"
        )
        took = duration(summary["seconds"])
        print(f"{summary['done']} trials{part} are in {folder}; this command took {took}\n{brackets}{drawn}")

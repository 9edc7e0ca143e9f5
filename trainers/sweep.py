"""`--mode=sweep`: the trials of an experiment's figure, each an ordinary run, in parallel; killed, it goes on."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import sys
import time

import tensorflow as tf

from flags import overrides
from flags.errors import RunError, UserError
from flags.run import Run
from flags.sweep import Sweep, Trial
from trainers.console import duration
from trainers.files import write_json
from trainers.run_folder import RunFolder
from trainers.session import choose_data
from trainers.signals import Stopped
from trainers.sweeps.local import Pool

STOPPED = 75


def sweep(run: Run) -> None:
    """Runs what is missing of the experiment's sweep.

    Raises:
        UserError: the experiment has none, or another one is in the folder.
        RunError: trials failed; the others were run all the same.
        Stopped: by SIGTERM or Ctrl-C, with everything saved.
    """
    data = choose_data(run)
    recipe = run.recipe_for(data)
    if recipe.sweep is None:
        raise UserError(f"--mode=sweep: {recipe.name} has no sweep on {data} data. Train it: --mode=train.")
    _check_overrides(run, recipe.sweep)
    folder = pathlib.Path(run.model_dir or pathlib.Path("runs", recipe.name, f"{data}-sweep"))
    _claim(folder, run, data, recipe.sweep)
    trials = recipe.sweep.trials
    missing = [trial for trial in trials if not RunFolder(folder / trial.name).results.exists()]
    progress = Progress(missing, folder, done=len(trials) - len(missing), quiet=run.quiet)
    gpus = len(tf.config.list_physical_devices("GPU"))
    pool = Pool(run.parallel or gpus or os.cpu_count() or 1, gpus)
    stops = _stopping(pool)
    commands = [(_arguments(run, data, trial, folder / trial.name), folder / trial.name) for trial in missing]
    pool.run(commands, progress.ended)
    if stops:
        raise Stopped(f"stopped; what was trained is saved in {folder}; run the same command to go on")
    if progress.failed:
        logs = ", ".join(str(folder / trial.name / "log.txt") for trial in progress.failed)
        raise RunError(f"{len(progress.failed)} of {len(trials)} trials failed: see {logs}. The others are done.")
    print(
        f"{len(trials)} trials are in {folder}\n"
        f"draw them: python -m trainers.main --mode=report --model_dir={folder}"
    )


def _check_overrides(run: Run, chosen: Sweep) -> None:
    for text in run.overrides:
        path = text.partition("=")[0].strip()
        if path in chosen.grid:
            raise UserError(f"--set={text}: the sweep goes through {path} itself. Leave it out.")


def _claim(folder: pathlib.Path, run: Run, data: str, chosen: Sweep) -> None:
    """Writes `sweep.json`, or compares with that of the sweep that is there.

    Raises:
        UserError: that is one of another experiment, other data or other fields; or the folder is that of a run.
    """
    if RunFolder(folder).config.exists():
        raise UserError(f"--model_dir={folder} holds a run. Name another folder for the sweep.")
    plan = {"experiment": run.experiment, "data": data, "overrides": list(run.overrides)}
    path = folder / "sweep.json"
    try:
        before = json.loads(path.read_text()) if path.exists() else plan
        different = [f"{name}: {before[name]} -> {plan[name]}" for name in plan if before[name] != plan[name]]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not the plan of a sweep ({error!r}). Name another --model_dir.") from error
    if different:
        raise UserError(f"--model_dir={folder} holds another sweep: {'; '.join(different)}. Name another --model_dir.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        grid = {name: list(values) for name, values in chosen.grid.items()}
        write_json(path, plan | {"grid": grid, "seeds": list(chosen.seeds)})
    except OSError as error:
        raise UserError(f"--model_dir={folder}: cannot be written ({error.strerror}). Name another folder.") from error


def _arguments(run: Run, data: str, trial: Trial, folder: pathlib.Path) -> list[str]:
    """The command line of a trial."""
    changed = [*run.overrides, *(f"{path}={overrides.show(value)}" for path, value in trial.values.items())]
    given = {"data_dir": run.data_dir, "precision": run.precision, "jit_compile": run.jit_compile}
    return [
        f"--experiment={run.experiment}",
        f"--data={data}",
        f"--model_dir={folder}",
        f"--seed={trial.seed}",
        "--strategy=one_device",
        "--noexport",
        *(f"--{name}={value}" for name, value in given.items() if value is not None),
        *(["--deterministic"] if run.deterministic else []),
        *(f"--set={text}" for text in changed),
    ]


def _stopping(pool: Pool) -> list[int]:
    """From now on SIGTERM and Ctrl-C stop the pool; the list that is returned then holds the signal."""
    received: list[int] = []

    def stop(number, frame):
        received.append(number)
        pool.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return received


class Progress:
    """What a person sees: a line a trial on stderr, with how many are left and how long that may take."""

    def __init__(self, trials: list[Trial], folder: pathlib.Path, *, done: int, quiet: bool):
        self.failed: list[Trial] = []
        self._trials = trials
        self._folder = folder
        self._done = done
        self._left = len(trials)
        self._quiet = quiet
        self._started = time.monotonic()
        self._finished = 0
        if not quiet:
            print(f"{self._left} trials to run, {done} done before; folder {folder}", file=sys.stderr, flush=True)

    def ended(self, place: int, status: int) -> None:
        if status == STOPPED:
            return
        trial = self._trials[place]
        self._left -= 1
        self._finished += 1
        if status:
            self.failed.append(trial)
            print(f"{trial.name}: failed, see {self._folder / trial.name / 'log.txt'}", file=sys.stderr, flush=True)
        elif not self._quiet:
            elapsed = time.monotonic() - self._started
            eta = duration(elapsed / self._finished * self._left)
            print(f"{trial.name}: {self._line(trial)}  left {self._left}  ETA {eta}", file=sys.stderr, flush=True)

    def _line(self, trial: Trial) -> str:
        results = json.loads(RunFolder(self._folder / trial.name).results.read_text())
        parts = {"test": results["metrics"], "training": results.get("fit", {})}
        shown = [f"{name} top1 {numbers['top1']:.1%}" for name, numbers in parts.items() if "top1" in numbers]
        return "  ".join([*shown, duration(results["seconds"])])

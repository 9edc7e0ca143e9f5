"""The directory of a sweep: locking, the sweep it belongs to, and its finished trials.

sweep.json   experiment, data, recipe, the varied fields and their values; the trials' folders
emc.json     with a ladder: the brackets of the effective complexity
K-V-seedN/   a trial: an ordinary run, and `log.txt` with its output
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from flags import catalog, folders, overrides
from flags.errors import UserError
from flags.recipe import Experiment
from flags.run import Run
from flags.sweep import Sweep, Trial
from trainers.run.files import write_json
from trainers.run.folder import RunFolder
from trainers.run.locks import locked, unwritable
from trainers.sweeps.plan import Finished, Plan, plan_of


class SweepFolder:
    """The directory of one sweep, and the paths in it."""

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        self.plan = self.path / "sweep.json"
        self.emc = self.path / "emc.json"

    def trial(self, trial: Trial) -> RunFolder:
        return RunFolder(self.path / trial.name)

    def log(self, trial: Trial) -> pathlib.Path:
        return self.path / trial.name / "log.txt"

    def finished(self, plan: Plan) -> list[Finished]:
        """The trials of the plan, including those that depend on others, whose results are in the folder."""
        found: list[Finished] = []
        while new := [one for trial in plan.next_trials(found) if (one := self.read(trial)) is not None]:
            found += new
        return found

    def read(self, trial: Trial) -> Finished | None:
        try:
            return Finished(trial, dict(json.loads(self.trial(trial).results.read_text())))
        except (OSError, ValueError, TypeError):  # a damaged file is written again
            return None

    @contextlib.contextmanager
    def locked(self, shard: tuple[int, int] | None) -> Iterator[None]:
        """Locks the folder for one sweep, or for one of its parts; each part can run only once at a time.

        Raises:
            UserError: another sweep holds the lock, or the folder is not writable.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(locked(self.path, is_shared=shard is not None))
            if shard is not None:
                stack.enter_context(locked(self.path, f"lock-part{shard[0]}of{shard[1]}"))
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Context that excludes other parts of the sweep from writing shared files; waits for them."""
        with open(self.path / "lock-shared", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def claim(self, run: Run, data: str, recipe: Experiment, sweep: Sweep) -> None:
        """Writes `sweep.json`, which assigns the folder to this sweep; later the sweep may only grow.

        Raises:
            UserError: the folder belongs to a run, or to a sweep with other fields or with values missing here.
        """
        if RunFolder(self.path).config.exists():
            raise UserError(f"--model_dir={self.path} contains a run. Give another folder for the sweep.")
        described = json.loads(json.dumps(_described(run, data, recipe, sweep)))
        with self.alone():
            before = self._read_plan()
            different = [] if before is None else self._different(before, described)
            if different:
                raise UserError(
                    f"--model_dir={self.path} contains another sweep: {'; '.join(different)}. Give another --model_dir "
                    "or the flags of that sweep."
                )
            if before != described:
                try:
                    write_json(self.plan, described)
                except OSError as error:
                    raise unwritable(self.path, error) from error

    def _read_plan(self) -> dict[str, Any] | None:
        try:
            return _of_this_version(json.loads(self.plan.read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error

    def _different(self, before: dict[str, Any], now: dict[str, Any]) -> list[str]:
        """One line per difference, except added values and seeds."""
        try:
            flat = [_fixed(plan) for plan in (before, now)]
            lines = overrides.difference(*flat)
            old, new = ({**plan["grid"], "seeds": plan["seeds"]} for plan in (before, now))
            if list(old) != list(new):
                lines.append(f"grid: {', '.join(old)} -> {', '.join(new)}")
            for path, values in old.items():
                if any(value not in new.get(path, values) for value in values):
                    lines.append(f"{path}: {overrides.show(values)} -> {overrides.show(new[path])}")
            return lines
        except (KeyError, TypeError, AttributeError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> UserError:
        return UserError(f"{self.plan}: not the plan of a sweep ({error!r}). Give another --model_dir.")


def _described(run: Run, data: str, recipe: Experiment, sweep: Sweep) -> dict[str, Any]:
    fields = {path: value for path, value in overrides.flatten(recipe).items() if path not in sweep.paths}
    return {
        "experiment": run.experiment,
        "data": data,
        "precision": run.precision,
        "overrides": list(run.overrides),
        "grid": sweep.grid,
        "seeds": sweep.seeds,
        "ladder": dataclasses.asdict(sweep.ladder) if sweep.ladder else {},
        "varies": [path for path, values in sweep.grid.items() if len(values) > 1]
        + ([sweep.ladder.path] if sweep.ladder else []),
        "folders": [trial.name for trial in plan_of(sweep).next_trials([])],
        "recipe": fields,
    }


def _of_this_version(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan of a sweep that an earlier version began, with the fields of this one."""
    try:
        own = overrides.flatten(catalog.variant(catalog.get(plan["experiment"]), plan["data"]))
        own = {path: value for path, value in own.items() if path not in plan["grid"]}
        return {**plan, "recipe": json.loads(json.dumps(folders.updated(plan["recipe"], own)))}
    except (KeyError, TypeError, AttributeError, UserError):
        return plan  # another sweep, or none: what compares it says so


def _fixed(plan: dict[str, Any]) -> dict[str, Any]:
    """The entries that must not change, flattened."""
    ladder = {f"ladder.{name}": value for name, value in plan["ladder"].items()}
    return {name: plan[name] for name in ("experiment", "data", "precision")} | plan["recipe"] | ladder

"""A sweep's folder: whose it is, who may write it, which of its trials are finished.

sweep.json   experiment, data, recipe, what varies and over which values; the trials' folders
emc.json     of a ladder: the brackets of the effective complexity
K-V-seedN/   a trial: an ordinary run, and `log.txt`, what it printed
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

from flags import overrides
from flags.errors import UserError
from flags.recipe import Experiment
from flags.run import Run
from flags.sweep import Sweep, Trial
from trainers.run.files import write_json
from trainers.run.folder import RunFolder
from trainers.run.locks import locked, unwritable
from trainers.sweeps.plan import Finished, Plan, plan_of


class SweepFolder:
    """The folder of one sweep; paths of what it holds."""

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        self.plan = self.path / "sweep.json"
        self.emc = self.path / "emc.json"

    def trial(self, trial: Trial) -> RunFolder:
        return RunFolder(self.path / trial.name)

    def log(self, trial: Trial) -> pathlib.Path:
        return self.path / trial.name / "log.txt"

    def finished(self, plan: Plan) -> list[Finished]:
        """The trials that the plan asks for, now or because of others, and whose results are here."""
        found: list[Finished] = []
        while new := [one for trial in plan.next_trials(found) if (one := self.read(trial)) is not None]:
            found += new
        return found

    def read(self, trial: Trial) -> Finished | None:
        try:
            return Finished(trial, dict(json.loads(self.trial(trial).results.read_text())))
        except (OSError, ValueError, TypeError):  # a damaged one is written again
            return None

    @contextlib.contextmanager
    def locked(self, shard: tuple[int, int] | None) -> Iterator[None]:
        """Holds the folder for one sweep, or for the parts of one, each of which runs once at a time.

        Raises:
            UserError: another sweep holds it, or it cannot be written.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(locked(self.path, is_shared=shard is not None))
            if shard is not None:
                stack.enter_context(locked(self.path, f"lock-part{shard[0]}of{shard[1]}"))
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Within this context no other part of the sweep writes what the parts share; waits for its turn."""
        with open(self.path / "lock-shared", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def claim(self, run: Run, data: str, recipe: Experiment, sweep: Sweep) -> None:
        """Writes `sweep.json`: from now on the folder belongs to this sweep, which may only grow.

        Raises:
            UserError: it belongs to another one, of which values were left out or fields differ; or to a run.
        """
        if RunFolder(self.path).config.exists():
            raise UserError(f"--model_dir={self.path} holds a run. Name another folder for the sweep.")
        described = json.loads(json.dumps(_described(run, data, recipe, sweep)))
        with self.alone():
            before = self._read_plan()
            different = [] if before is None else self._different(before, described)
            if different:
                raise UserError(
                    f"--model_dir={self.path} holds another sweep: {'; '.join(different)}. Name another --model_dir, "
                    "or give the flags of the sweep that is there."
                )
            if before != described:
                try:
                    write_json(self.plan, described)
                except OSError as error:
                    raise unwritable(self.path, error) from error

    def _read_plan(self) -> dict[str, Any] | None:
        try:
            return json.loads(self.plan.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error

    def _different(self, before: dict[str, Any], now: dict[str, Any]) -> list[str]:
        """A line for everything that differs, but for values and seeds that are new."""
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
        return UserError(f"{self.plan}: not the plan of a sweep ({error!r}). Name another --model_dir.")


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


def _fixed(plan: dict[str, Any]) -> dict[str, Any]:
    """What must not change, flat."""
    ladder = {f"ladder.{name}": value for name, value in plan["ladder"].items()}
    return {name: plan[name] for name in ("experiment", "data", "precision")} | plan["recipe"] | ladder

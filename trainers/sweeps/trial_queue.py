"""The state of a sweep's trials: finished, running, failed, or waiting."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter

from flags.sweep import Trial
from trainers.run.signals import STOPPED
from trainers.sweeps.folder import SweepFolder
from trainers.sweeps.plan import Finished, Plan

MOST_STOPS = 3  # number of times a trial that was stopped externally is restarted


@dataclasses.dataclass(frozen=True)
class TrialResult:
    """How a trial ended: the exit status of its run, and the reason if that is not 0."""

    trial: Trial
    status: int
    why: str = ""


@dataclasses.dataclass(frozen=True)
class Started:
    """A running trial."""

    trial: Trial
    at: float  # time.monotonic()


class TrialQueue:
    """The trials of a plan; trials with results in the folder are finished."""

    def __init__(self, plan: Plan, folder: SweepFolder):
        self.folder = folder
        self.finished: list[Finished] = folder.finished(plan)
        self.running: dict[str, Started] = {}
        self.failed: dict[str, TrialResult] = {}
        self.overheads: list[float] = []  # seconds per trial of this sweep besides its training
        self._plan = plan
        self._stops: Counter = Counter()

    def waiting(self) -> list[Trial]:
        """The planned trials that are neither running nor failed; a ladder plans more once these have ended."""
        wanted = self._plan.next_trials(self.finished)
        return [trial for trial in wanted if trial.name not in self.running and trial.name not in self.failed]

    def start(self, trial: Trial) -> None:
        self.running[trial.name] = Started(trial, time.monotonic())

    def end(self, ending: TrialResult) -> TrialResult:
        """Records and returns how a trial ended; a trial without results has failed, a stopped one waits again."""
        trial = ending.trial
        started = self.running.pop(trial.name)
        if ending.status == STOPPED:
            self._stops[trial.name] += 1
            if self._stops[trial.name] < MOST_STOPS:
                return ending
        found = self.folder.read(trial) if ending.status == 0 else None
        if found is not None:
            self.finished.append(found)
            self.overheads.append(max(0.0, time.monotonic() - started.at - found.results["seconds"]))
            return ending
        self.failed[trial.name] = dataclasses.replace(
            ending, status=ending.status or 1, why=ending.why or "it wrote no results"
        )
        return self.failed[trial.name]

"""Decides which trials of a sweep to run next, given the finished ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from flags.sweep import Sweep, Trial
from trainers.sweeps.emc import ends, error_of, wanted


@dataclasses.dataclass(frozen=True)
class Finished:
    """A trial and its results.json."""

    trial: Trial
    results: dict[str, Any]


class Plan(Protocol):
    """The trials that a sweep needs, depending on earlier results."""

    def next_trials(self, finished: Sequence[Finished]) -> list[Trial]:
        """All further trials known to be needed, the most informative first; empty if the sweep is complete."""


class GridPlan:
    """All trials are known at the start."""

    def __init__(self, trials: Sequence[Trial]):
        self._trials = trials

    def next_trials(self, finished: Sequence[Finished]) -> list[Trial]:
        names = {one.trial.name for one in finished}
        return [trial for trial in self._trials if trial.name not in names]


class LadderPlan:
    """The trials needed to find the brackets of some points of a sweep's grid."""

    def __init__(self, sweep: Sweep, points: Sequence[Mapping[str, Any]]):
        self._ladder = sweep.ladder
        self._seeds = sweep.seeds
        self._points = points

    def next_trials(self, finished: Sequence[Finished]) -> list[Trial]:
        names = {one.trial.name for one in finished}
        trials = []
        for point, errors in zip(self._points, self._errors(finished)):
            means = self._means(errors)
            counts = {count for eps in self._ladder.eps for count in wanted(means, eps, self._ladder)}
            trials += [
                Trial(values={**point, self._ladder.path: count}, seed=seed)
                for count in sorted(counts)
                for seed in self._seeds
            ]
        return [trial for trial in trials if trial.name not in names]

    def brackets(self, finished: Sequence[Finished]) -> list[dict[str, Any]]:
        """The bracket of each point and eps, ready for JSON; `low` and `high` are None until both are found.

        After that, `low` None means that not even the first rung passes, `high` None that all examples do (`censored`:
        the complexity is at least that number). `g` has the mean error and that of each seed per number of examples.
        """
        rows = []
        for point, errors in zip(self._points, self._errors(finished)):
            means = self._means(errors)
            g = {
                str(count): {
                    "mean": means.get(count),
                    "seeds": {str(seed): by_seed[seed] for seed in self._seeds if seed in by_seed},
                }
                for count, by_seed in sorted(errors.items())
            }
            for eps in self._ladder.eps:
                is_found = not wanted(means, eps, self._ladder)
                low, high = ends(means, eps) if is_found else (None, None)
                censored = is_found and high is None
                bracket = {"low": low, "high": high, "censored": censored, "complete": is_found}
                rows.append({"point": dict(point), "error": self._ladder.error, "eps": eps, **bracket, "g": g})
        return rows

    def _errors(self, finished: Sequence[Finished]) -> list[dict[int, dict[int, float]]]:
        """For each point: number of examples -> seed -> training error."""
        path = self._ladder.path
        found: dict[tuple, dict[int, dict[int, float]]] = {tuple(point.items()): {} for point in self._points}
        for one in finished:
            values = {name: value for name, value in one.trial.values.items() if name != path}
            by_count = found.get(tuple(values.items()))
            if by_count is not None:
                by_seed = by_count.setdefault(one.trial.values[path], {})
                by_seed[one.trial.seed] = error_of(one.results, self._ladder.error)
        return list(found.values())

    def _means(self, errors: Mapping[int, Mapping[int, float]]) -> dict[int, float]:
        """g(n) for every n with the results of all seeds."""
        return {
            count: sum(by_seed[seed] for seed in self._seeds) / len(self._seeds)
            for count, by_seed in errors.items()
            if all(seed in by_seed for seed in self._seeds)
        }


def plan_of(sweep: Sweep, shard: tuple[int, int] | None = None) -> Plan:
    """Returns the plan of a sweep, or of one of its disjoint parts: (2, 8) is the second of eight.

    A grid is divided by trials, a ladder by grid points, because a point's next trials depend on its results.
    """
    part, parts = shard or (1, 1)
    if sweep.ladder is not None:
        return LadderPlan(sweep, sweep.points[part - 1 :: parts])
    return GridPlan(sweep.trials[part - 1 :: parts])

"""Estimates the remaining time of a sweep from its finished trials."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flags.sweep import Trial
from trainers.sweeps.trial_queue import TrialQueue

RIDGE = 0.1  # pulls exponents towards 0 while few trials are finished


def remaining(queue: TrialQueue, at_once: int) -> float | None:
    """Seconds until all trials planned so far have ended; None before the first has."""
    if not queue.finished:
        return None
    overhead = sum(queue.overheads) / max(1, len(queue.overheads))
    took = [(one.trial, one.results["seconds"] + overhead) for one in queue.finished]
    running = list(queue.running.values())
    estimates = estimate([*(one.trial for one in running), *queue.waiting()], took)
    passed = [time.monotonic() - one.at for one in running] + [0.0] * len(estimates)
    left = [max(0.0, seconds - elapsed) for seconds, elapsed in zip(estimates, passed)]
    return max([sum(left) / max(1, at_once), *left])


def estimate(trials: Sequence[Trial], took: Sequence[tuple[Trial, float]]) -> list[float]:
    """Predicts the duration of trials in seconds by a power law in the numeric fields that vary, fitted to `took`.

    This accounts for the higher cost of, for example, wider networks; irrelevant fields get an exponent near 0.
    """
    known = np.array([_logarithms(trial.values) for trial, _ in took])
    seconds = np.log([max(0.01, seconds) for _, seconds in took])
    centre, middle = known.mean(axis=0), seconds.mean()
    spread = known - centre
    exponents = np.linalg.solve(spread.T @ spread + RIDGE * np.eye(spread.shape[1]), spread.T @ (seconds - middle))
    return [math.exp(middle + (np.array(_logarithms(trial.values)) - centre) @ exponents) for trial in trials]


def _logarithms(values: Mapping[str, Any]) -> list[float]:
    """Logarithms of 1 + value, because a value may be 0; values that are not such numbers count as 0."""
    return [math.log1p(max(0.0, value)) if isinstance(value, (int, float)) else 0.0 for value in values.values()]

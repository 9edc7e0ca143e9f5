"""Effective model complexity (Nakkiran et al. 2019, section 2): the largest number of examples that a recipe fits.

EMC = max {n: E[error of the trained model on its own n training examples] <= eps}. The mean is over the sweep's seeds;
the result is a bracket: the largest number of examples that passes, and the next one that fails.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from flags.errors import RunError
from flags.sweep import Ladder

QUANTITIES = {"zero_one": "top1", "squared": "squared_error"}  # metrics in results["fit"], on the training labels
ROUNDING = 1e-6  # of top1, a float32 mean: one error in ten must pass eps = 0.1


def error_of(results: Mapping[str, Any], kind: str) -> float:
    """The training error of a finished trial: 1 - top1 ("zero_one"), or the mean squared error ("squared").

    Raises:
        RunError: the error was not measured.
    """
    name = QUANTITIES[kind]
    try:
        value = results["fit"][name]
    except KeyError:
        raise RunError(f"a ladder with the {kind} error needs fit.{name} in every results.json.") from None
    return 1 - value if kind == "zero_one" else value


def ends(means: Mapping[int, float], eps: float) -> tuple[int | None, int | None]:
    """Returns the last n of g = {n: mean error} that passes, and the next that fails; None if there is none."""
    low = max((count for count, error in means.items() if error <= eps * (1 + ROUNDING)), default=None)
    return low, min((count for count in means if low is None or count > low), default=None)


def wanted(means: Mapping[int, float], eps: float, ladder: Ladder) -> list[int]:
    """Returns further numbers of examples to try, given g = {n: mean error}; empty once the bracket is found.

    They do not depend on each other's results: first `at` and the rungs up to `beyond` above the first failure, then
    the geometric mean of the bracket.
    """
    low, high = ends(means, eps)
    above = sum(1 for rung in ladder.rungs if low is not None and rung <= low)
    first = [ladder.at] if ladder.at is not None else []
    rungs = [rung for rung in (*first, *ladder.rungs[: above + 1 + ladder.beyond]) if rung not in means]
    if rungs or low is None or high is None or high - low <= 1 or high < low * (1 + ladder.refine):
        return rungs
    return [round(math.sqrt(low * high))]

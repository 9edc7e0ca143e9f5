"""The error of a model that has diverged, wherever that shows."""

from __future__ import annotations

from flags.errors import RunError

LOWER_RATE = "a lower learning rate (--set=schedule.lr=...)"


def diverged(what: str, then: str = "", remedy: str = LOWER_RATE) -> RunError:
    """The error of a model of which `what`, such as its scores, is NaN or infinite.

    Args:
        then: what was not done because of it, such as "nothing was exported".
        remedy: what to train again with.
    """
    consequence = f"; {then}" if then else ""
    return RunError(f"the model has diverged (its {what} are NaN or infinite){consequence}. Train again with {remedy}.")

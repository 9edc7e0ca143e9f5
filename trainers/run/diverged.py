"""The error for a model that has diverged."""

from __future__ import annotations

from flags.errors import RunError

LOWER_RATE = "a lower learning rate (--set=schedule.lr=...)"


def diverged(what: str, then: str = "", remedy: str = LOWER_RATE) -> RunError:
    """Returns the error for a model whose `what` (such as "scores") are NaN or infinite.

    Args:
        then: the consequence, such as "nothing was exported".
        remedy: the suggested change for training again.
    """
    consequence = f"; {then}" if then else ""
    return RunError(f"the model has diverged (its {what} are NaN or infinite){consequence}. Train again with {remedy}.")

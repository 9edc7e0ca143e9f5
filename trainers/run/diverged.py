"""What is said of a model whose weights have grown without bounds, wherever that shows."""

from __future__ import annotations

from flags.errors import RunError

LOWER_RATE = "a lower learning rate (--set=schedule.lr=...)"


def diverged(what: str, then: str = "", remedy: str = LOWER_RATE) -> RunError:
    """The error of a model of which `what`, such as its scores, is no number any more.

    Args:
        then: what was not done for that, after "and".
        remedy: with what to train anew.
    """
    grown = f"the model's {what} are not finite: its weights have grown without bounds"
    return RunError(f"{grown}{f', and {then}' if then else ''}. Train anew with {remedy}.")

"""Checks that batches can be divided among replicas."""

from __future__ import annotations

from flags.errors import UserError


def check_shares(field: str, batch: int, replicas: int, micro_batches: int = 1) -> None:
    """Raises UserError if a batch, the value of a recipe's field, cannot be divided equally over the replicas."""
    parts = replicas * micro_batches
    if batch % parts:
        near = max(parts, batch // parts * parts)
        raise UserError(
            f"{field}={batch} cannot be divided equally over {replicas} replicas"
            + (f" of {micro_batches} micro-batches" if micro_batches > 1 else "")
            + f". Use, for example, --set={field}={near}."
        )

"""What replicas must be able to divide among them."""

from __future__ import annotations

from flags.errors import UserError


def check_shares(field: str, batch: int, replicas: int, micro_batches: int = 1) -> None:
    """Refuses a batch, the value of a recipe's field, that does not divide over replicas in equal parts."""
    parts = replicas * micro_batches
    if batch % parts:
        near = max(parts, batch // parts * parts)
        raise UserError(
            f"{field}={batch} does not divide over {replicas} replicas"
            + (f" of {micro_batches} micro-batches" if micro_batches > 1 else "")
            + f". For instance --set={field}={near}."
        )

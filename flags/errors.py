"""Errors that end a run with one line instead of a traceback, and the check that raises them."""


class UserError(Exception):
    """A user mistake. `main` prints its message, one line, on stderr and exits with status 2.

    The message names what was given, what is allowed, and what to do.
    """


class RunError(Exception):
    """A failure that is not the user's mistake. `main` prints its message, one line, and exits with status 1."""


def require(condition: bool, message: str) -> None:
    """Raises `UserError(message)` unless `condition` is true."""
    if not condition:
        raise UserError(message)

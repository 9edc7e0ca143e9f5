"""What ends a run with one line in place of a traceback, and the check that raises it."""


class UserError(Exception):
    """A mistake of the user. `main` prints its one line on stderr and exits with status 2.

    The message names what was given, what is allowed, and what to do.
    """


class RunError(Exception):
    """A run that cannot go on through no mistake of the user. `main` prints its one line and exits with status 1."""


def require(condition: bool, message: str) -> None:
    """Raises `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)

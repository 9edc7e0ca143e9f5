"""The one exception that means: the user can mend this, and here is how."""


class UserError(Exception):
    """A mistake of the user. `main` prints its one line on stderr and exits with status 2.

    The message names what was given, what is allowed, and what to do.
    """


class RunError(Exception):
    """A run that cannot go on through no mistake of the user. `main` prints its one line and exits with status 1."""

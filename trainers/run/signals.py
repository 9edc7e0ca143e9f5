"""SIGTERM and Ctrl-C: after the first, the run saves and exits; after the second, it exits immediately."""

from __future__ import annotations

import signal

STOPPED = 75  # the exit status of a run that was stopped and saved everything


class Stopped(Exception):
    """The run was stopped by a signal, and everything is saved. `main` exits with status `STOPPED`."""


class StopSignals:
    """Within this context the first SIGTERM or SIGINT only sets `requested`; a second one has its usual effect."""

    def __init__(self):
        self.requested = False

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.signal(number, self._request) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *exception) -> None:
        self._restore()

    def _request(self, number, frame) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

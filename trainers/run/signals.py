"""SIGTERM and Ctrl-C: asked for once, the run saves and ends; asked for twice, it ends at once."""

from __future__ import annotations

import signal

STOPPED = 75  # the exit status of a run that was asked to stop and saved everything


class Stopped(Exception):
    """The run was asked to stop, and everything is saved. `main` exits with status `STOPPED`."""


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

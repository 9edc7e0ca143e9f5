"""A process that runs trial after trial: TensorFlow is loaded once for all of them.

It reads a JSON list a line from stdin (the arguments of a trial, and the file for what it prints) and answers with a
line: the exit status. When stdin ends, its parent is gone: a trial under way then saves and stops.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import traceback


def run_trial(arguments: list[str], log: str) -> int:
    """Runs one trial as the command line would, what it prints in `log`; returns the exit status."""
    import keras

    from trainers.main import main

    keras.backend.clear_session()  # names of layers and variables begin anew, as in a process of its own
    with open(log, "a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        try:
            return main(["trainers.main", *arguments])
        except BaseException:
            traceback.print_exc()
            return 1


def _read(trials: queue.Queue) -> None:
    for line in sys.stdin:
        trials.put(json.loads(line))
    trials.put(None)
    os.kill(os.getpid(), signal.SIGTERM)


def serve() -> None:
    """Runs what comes until stdin ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # between trials; within one, it saves
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which asks to stop
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    trials: queue.Queue = queue.Queue()
    threading.Thread(target=_read, args=(trials,), daemon=True).start()
    while (trial := trials.get()) is not None:
        status = run_trial(*trial)
        print(status, file=answers, flush=True)


if __name__ == "__main__":
    serve()

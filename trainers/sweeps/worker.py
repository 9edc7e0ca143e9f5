"""A process that runs trial after trial: TensorFlow is loaded once for all of them.

It reads a JSON list a line from stdin (the arguments of a trial, and the file for what it prints) and answers with a
line: the exit status. When stdin ends, its parent has nothing more or is gone: a trial under way then saves and stops.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import pathlib
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence

from trainers.run.signals import STOPPED

SECONDS_FOR_THE_LAST = 120  # that a trial's process has to save and end once its sweep is gone


def run_trial(arguments: Sequence[str], log: str) -> int:
    """Runs one trial as the command line would, what it prints at the end of `log`; returns the exit status.

    Afterwards the process is as if the trial had not been: the next one gives the same bits as one alone.
    """
    log_path = pathlib.Path(log)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with _printing_to(log_path):
        try:
            from trainers.main import main

            _wait_for_lock(log_path.parent)
            return main(["trainers.main", *arguments])
        except SystemExit:  # asked to stop before there was anything to save, or asked twice
            return STOPPED
        except BaseException:
            traceback.print_exc()
            return 1
        finally:
            import keras

            # Names of layers and variables begin anew, as in a process of its own.
            keras.backend.clear_session(free_memory=False)
            gc.collect()  # models and their compiled functions refer to themselves


@contextlib.contextmanager
def _printing_to(path: pathlib.Path) -> Iterator[None]:
    """Within this context all that is printed, by libraries below Python too, goes to the end of a file."""
    with path.open("a", buffering=1) as file, contextlib.ExitStack() as stack:
        for number, stream in ((1, sys.stdout), (2, sys.stderr)):
            stream.flush()
            kept = os.dup(number)
            os.dup2(file.fileno(), number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            stack.callback(stream.flush)
        with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            yield


def _wait_for_lock(folder: pathlib.Path) -> None:
    """Lets a process of a sweep that was killed, and that is saving this trial, come to its end."""
    until = time.monotonic() + SECONDS_FOR_THE_LAST
    with (folder / "lock").open("a") as lock:
        while time.monotonic() < until:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.2)


def _read(trials: queue.Queue) -> None:
    for line in sys.stdin:
        trials.put(json.loads(line))
    os.kill(os.getpid(), signal.SIGTERM)
    trials.put(None)  # a signal that comes just before the queue is waited for does not end the waiting


def serve() -> None:
    """Runs what comes until stdin ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # between trials; within one, it saves
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    trials: queue.Queue = queue.Queue()
    threading.Thread(target=_read, args=(trials,), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):  # the parent is gone
        while (trial := trials.get()) is not None:
            print(run_trial(*trial), file=answers, flush=True)


if __name__ == "__main__":
    serve()

"""A process that runs one trial after another, loading TensorFlow only once.

It reads one JSON list per line from stdin (the arguments of a trial, and its log file) and answers with one line, the
exit status. When stdin closes, the parent has finished or died: a running trial then saves and stops.
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

SECONDS_FOR_THE_LAST = 120  # for a trial's process to save and exit once its sweep is gone


def run_trial(arguments: Sequence[str], log: str) -> int:
    """Runs one trial as the command line would, appending its output to `log`; returns the exit status.

    Global state is reset afterwards: the next trial is bit-identical to one run in a new process.
    """
    log_path = pathlib.Path(log)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with _printing_to(log_path):
        try:
            from trainers.main import main

            _wait_for_lock(log_path.parent)
            return main(["trainers.main", *arguments])
        except SystemExit:  # stopped before there was anything to save, or stopped twice
            return STOPPED
        except BaseException:
            traceback.print_exc()
            return 1
        finally:
            import keras

            # Restart the numbering of layer and variable names, as in a new process.
            keras.backend.clear_session(free_memory=False)
            gc.collect()  # models and their compiled functions form reference cycles


@contextlib.contextmanager
def _printing_to(path: pathlib.Path) -> Iterator[None]:
    """Context that appends all output, including that of native libraries, to a file."""
    with (
        path.open("a", buffering=1, encoding="utf-8", errors="backslashreplace") as file,
        contextlib.ExitStack() as stack,
    ):
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
    """Waits for a process of a killed sweep that is still saving this trial."""
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
    trials.put(None)  # a signal just before the wait on the queue would not end that wait


def serve() -> None:
    """Runs trials until stdin closes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # between trials; during a trial, the run saves first
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    trials: queue.Queue = queue.Queue()
    threading.Thread(target=_read, args=(trials,), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):  # the parent is gone
        while (trial := trials.get()) is not None:
            print(run_trial(*trial), file=answers, flush=True)


if __name__ == "__main__":
    serve()

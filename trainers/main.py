"""The entry point: `landmark-papers --experiment=NAME`, or `python -m trainers.main` from a clone.

Parses the flags, runs the mode, and turns errors into one line and an exit status: 0 done; 2 user error; 75 stopped by
a signal, everything saved; 1 anything else. Errors in the flags are reported before TensorFlow is loaded.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile

from absl import logging

from flags import run as run_flags
from flags.errors import RunError, UserError
from trainers.run.signals import STOPPED, Stopped


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit status."""
    try:
        run = run_flags.parse(argv)
    except UserError as error:
        return _fail(error, 2)
    if run is None:  # --help or --list_experiments: answered
        return 0
    try:
        _load_tensorflow(logging.ERROR if run.quiet else run.verbosity)
        mode = importlib.import_module(f"trainers.modes.{run.mode}")
        getattr(mode, run.mode)(run)
    except UserError as error:
        return _fail(error, 2)
    except RunError as error:
        return _fail(error, 1)
    except Stopped as stopped:
        return _fail(stopped, STOPPED)
    except KeyboardInterrupt:
        return _fail("interrupted; there was nothing to save yet", STOPPED)
    except Exception as error:
        explained = _explain(error)
        if explained is None:
            raise
        return _fail(explained, 2)
    return 0


def _fail(message: object, status: int) -> int:
    print(f"{message}", file=sys.stderr)
    return status


def _explain(error: Exception) -> UserError | None:
    """One line for a TensorFlow error caused by damaged data; None for any other error."""
    from trainers.data import damage

    return damage.explain(error)


def _load_tensorflow(verbosity: int) -> None:
    """Imports TensorFlow without the startup messages of its C++ side, unless `verbosity` asks for them.

    TensorFlow writes them to the file descriptor before any of its settings takes effect.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if verbosity > 0 else "2")
    logging.set_verbosity(verbosity)
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            verbosity = 1
            raise
        finally:
            os.dup2(screen, 2)
            os.close(screen)
            if verbosity > 0:
                notes.seek(0)
                sys.stderr.write(notes.read().decode(errors="replace"))


def command() -> int:
    """Runs the command line of this process: both `landmark-papers` and `python -m trainers.main`."""
    # Any text can be printed: the names of files, on a terminal of any encoding.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    try:
        status = main(sys.argv)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(command())

"""`--mode=generate`: continues or translates `--prompt` with a finished model."""

from __future__ import annotations

from flags.run import Run
from trainers.session import open_session


def generate(run: Run) -> None:
    """Loads the finished run's model and calls `Task.generate`, which prints on stdout."""
    session = open_session(run)
    device = session.strategy.extended.worker_devices[0]
    session.task.generate(run, session.load_model(), device)

"""`--mode=generate`: what a finished model makes of `--prompt`, on stdout."""

from __future__ import annotations

from flags.run import Run
from trainers.session import open_session


def generate(run: Run) -> None:
    """Prints what the finished run's model makes of `--prompt`; raises what `Task.generate` does."""
    session = open_session(run)
    device = session.strategy.extended.worker_devices[0]
    session.task.generate(run, session.load_model(), device)

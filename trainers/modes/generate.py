"""`--mode=generate`: a finished language model goes on with a text, a finished Transformer translates it; on stdout."""

from __future__ import annotations

from flags.run import Run
from trainers.run.load import load_finished
from trainers.session import open_session
from trainers.tasks.text.writing import write
from trainers.tasks.translation.translating import translate


def generate(run: Run) -> None:
    """Prints what the finished run's model makes of `--prompt`; raises what `write` or `translate` does."""
    session = open_session(run)
    make = translate if session.recipe.task == "translation" else write
    make(session, load_finished(session))

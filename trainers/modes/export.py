"""`--mode=export`: writes the SavedModel of a finished run, or of imported weights."""

from __future__ import annotations

import keras

from flags.errors import UserError
from flags.run import Run
from trainers.run.export import write_keras_model, write_saved_model
from trainers.session import Session, open_session


def export(run: Run) -> None:
    """Writes the SavedModel of a finished run; for imported weights also the other files of a run directory.

    Raises:
        UserError: the folder for imported weights already contains a run.
    """
    session = open_session(run)
    model, folder = session.load_model(), session.folder
    with folder.locked():
        if session.init_from:
            _write_run(session, model)
        difference = write_saved_model(session.task, model, folder.saved_model)
    print(f"{folder.saved_model}: written; differs from the live model by at most {difference:.1e}")


def _write_run(session: Session, model: keras.Model) -> None:
    """Writes an imported model to the folder like that of a finished run."""
    folder = session.folder
    if folder.config.exists():
        raise UserError(f"--model_dir={folder.path} already contains a run. Give another folder for --init_from.")
    write_keras_model(model, folder.keras_model)
    folder.write_assets(session.task.assets())
    folder.claim(session.recipe, session.settings)

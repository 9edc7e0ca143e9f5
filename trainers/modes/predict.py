"""`--mode=predict --images=GLOB`: applies a finished run's SavedModel to image files."""

from __future__ import annotations

from flags import catalog
from flags.errors import UserError
from flags.run import Run
from trainers.run.files import matching
from trainers.run.folder import RunFolder
from trainers.tasks import task_class


def predict(run: Run) -> None:
    """Finds the run and the files, and lets the run's task print the predictions of its SavedModel."""
    if run.model_dir is None:
        raise UserError(f"--mode=predict: {run.experiment} has no run in runs/. Train it first, or give --model_dir.")
    folder = RunFolder(run.model_dir)
    files = [path for path in matching(run.images) if path.is_file()]
    if not files:
        raise UserError(f"--images={run.images}: no file matches. Quote the pattern, such as --images='photos/*.jpg'.")
    if not (folder.saved_model / "saved_model.pb").exists():
        raise UserError(f"{folder.saved_model}: no exported model. Finish the run, or use --mode=export.")
    recipe = catalog.get(run.experiment)
    task_class(recipe).predict(recipe, folder, files)

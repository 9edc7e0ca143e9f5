"""`--mode=predict --images=GLOB`: applies a finished run's SavedModel to image files."""

from __future__ import annotations

import pathlib

from flags import catalog
from flags.errors import UserError
from flags.run import Run
from trainers.run.files import matching
from trainers.run.folder import RunFolder
from trainers.tasks import task_class

ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")  # of the images in a folder


def predict(run: Run) -> None:
    """Finds the run and the files, and lets the run's task print the predictions of its SavedModel."""
    if run.model_dir is None:
        raise UserError(f"--mode=predict: {run.experiment} has no run in runs/. Train it first, or give --model_dir.")
    folder = RunFolder(run.model_dir)
    files = _files(run.images)
    if not (folder.saved_model / "saved_model.pb").exists():
        raise UserError(f"{folder.saved_model}: no exported model. Finish the run, or use --mode=export.")
    recipe = catalog.get(run.experiment)
    task_class(recipe).predict(recipe, folder, files)


def _files(images: str) -> list[pathlib.Path]:
    """The files of --images: those that match the pattern, and the images in a folder that it names.

    Raises:
        UserError: there are none.
    """
    folder = pathlib.Path(images)
    if folder.is_dir():
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS and file.is_file())
        if not files:
            raise UserError(f"--images={images}: no image is in this folder ({', '.join(ENDINGS)}). Give another.")
        return files
    matches = matching(images)
    files = [path for path in matches if path.is_file()]
    if not files:
        found = "only folders, or files that are not regular, match" if matches else "no file matches"
        raise UserError(f"--images={images}: {found}. Quote the pattern, such as --images='photos/*.jpg'.")
    return files

"""The predictions of a finished run on the test split."""

from __future__ import annotations

import dataclasses
import pathlib
import zipfile

import numpy as np


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Predicted and true classes, in file order."""

    classes: np.ndarray  # [examples], int
    labels: np.ndarray  # [examples], int


def read(folder: pathlib.Path) -> Predictions | None:
    """The predictions.npz of a run; None if it is not there, is damaged, or lacks the labels."""
    try:
        with np.load(folder / "predictions.npz") as kept:
            found = Predictions(classes=kept["classes"].astype(int), labels=kept["labels"].astype(int))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return found if found.classes.shape == found.labels.shape else None

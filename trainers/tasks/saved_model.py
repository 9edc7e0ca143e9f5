"""The interface of SavedModels: exporting a task's model, and checking it against the live model."""

from __future__ import annotations

import abc
import pathlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import keras
import numpy as np

from flags.errors import RunError
from tf_models.literal_paths import literal
from trainers.run.diverged import LOWER_RATE, diverged

if TYPE_CHECKING:
    from trainers.tasks.task import Task

TOLERANCE = 1e-5


class SavedModel(abc.ABC):
    """Writes a model that clients can use without this project and Keras, and checks the result.

    Args:
        model: on one device, in float32 (`trainers.run.export.single_device_copy`).

    Attributes:
        answer: name of the compared numbers in messages, in the plural.
        remedy: suggestion for a model whose outputs are not finite.
    """

    answer = "probabilities"
    remedy = LOWER_RATE

    def __init__(self, task: Task, model: keras.Model):
        self._task = task
        self._model = model

    @abc.abstractmethod
    def write(self, path: pathlib.Path) -> None:
        """Writes the SavedModel into a folder that does not exist yet. Its docstring describes the signatures."""

    @abc.abstractmethod
    def answers(self, path: pathlib.Path) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Pairs of outputs on real test data: of the SavedModel at `path`, and of the live model.

        Raises:
            RunError: they differ in something other than numbers.
        """

    def check(self, path: pathlib.Path) -> float:
        """Loads the SavedModel; returns the largest difference between its outputs and the live model's.

        Raises:
            RunError: the live model's outputs are not finite, or the difference is `TOLERANCE` or more (relative to
                the largest output, if that is above 1).
        """
        with literal(path) as readable:
            answers = self.answers(pathlib.Path(readable))
            pairs = [(np.asarray(served), np.asarray(live)) for served, live in answers]
        if not all(np.isfinite(live).all() for _, live in pairs):
            raise diverged(self.answer, then="nothing was exported", remedy=self.remedy)
        difference = float(np.max([np.max(np.abs(served - live), initial=0.0) for served, live in pairs]))
        scale = max(1.0, *(float(np.max(np.abs(live), initial=0.0)) for _, live in pairs))
        if not difference < TOLERANCE * scale:
            raise RunError(f"the exported model differs from the live one by {difference}: nothing was exported")
        return difference

"""The contract of a SavedModel: what a kind of problem exports, and how it is checked against the live model."""

from __future__ import annotations

import abc
import pathlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import keras
import numpy as np

from flags.errors import RunError
from trainers.run.diverged import LOWER_RATE, diverged

if TYPE_CHECKING:
    from trainers.tasks.task import Task

TOLERANCE = 1e-5


class SavedModel(abc.ABC):
    """Writes a model so that clients need nothing of this project and no Keras, and checks what it wrote.

    Args:
        model: on one device, in float32 (`trainers.run.export.single_device_copy`).

    Attributes:
        answer: what the compared numbers are, in the plural, for messages.
        remedy: what to do about a model whose answers are not finite.
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
        """Pairs of answers to real test data: of the SavedModel at `path`, and of the live model.

        Raises:
            RunError: they differ in something that is no number.
        """

    def check(self, path: pathlib.Path) -> float:
        """Loads what was written; returns the largest difference of an answer to the live model's.

        Raises:
            RunError: the live model's answers are not finite, or the difference is `TOLERANCE` or more (relative to
                the largest answer, where that is above 1).
        """
        pairs = [(np.asarray(served), np.asarray(live)) for served, live in self.answers(path)]
        if not all(np.isfinite(live).all() for _, live in pairs):
            raise diverged(self.answer, then="nothing was exported", remedy=self.remedy)
        difference = float(np.max([np.max(np.abs(served - live), initial=0.0) for served, live in pairs]))
        scale = max(1.0, *(float(np.max(np.abs(live), initial=0.0)) for _, live in pairs))
        if not difference < TOLERANCE * scale:
            raise RunError(f"the exported model differs from the live one by {difference}: nothing was exported")
        return difference

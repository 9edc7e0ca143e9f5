"""The SavedModel of a regression: [batch, inputs] in, [batch, 1] out."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from trainers.tasks.saved_model import SavedModel

CHECKED_EXAMPLES = 8


class RegressionSavedModel(SavedModel):
    """`task` is a `Regression`."""

    answer = "outputs"

    def write(self, path: pathlib.Path) -> None:
        """Exports a model whose default signature takes the model's inputs and returns its outputs."""
        self._model.export(str(path), verbose=False)

    def answers(self, path: pathlib.Path) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Outputs for the first test inputs."""
        split = self._task.dataset.split(self._task.recipe.data.test_split)
        inputs = tf.constant(split.inputs[:CHECKED_EXAMPLES])
        written = tf.saved_model.load(str(path))
        yield written.serve(inputs), self._model(inputs)

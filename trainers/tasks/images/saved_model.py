"""The SavedModel of an image classifier: encoded images in, classes and their probabilities out."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from trainers.data import stream
from trainers.tasks.saved_model import SavedModel

CHECKED_IMAGES = 8


class ImageSavedModel(SavedModel):
    """`task` is a `Classification`."""

    remedy = "a lower learning rate (--set=schedule...) or --set=train.clip_norm=1"

    def write(self, path: pathlib.Path) -> None:
        """Exports a model whose default signature takes encoded images of any size, greyscale or colour.

        `images` are [batch] strings (JPEG, PNG, BMP or GIF). It returns `probabilities` [batch, classes], and
        `class_ids` and `class_names` [batch, k], best first.
        """
        archive = keras.export.ExportArchive()
        archive.add_endpoint(
            "serving_default",
            lambda images: self._task.class_probabilities(self._model, images),
            input_signature=[tf.TensorSpec([None], tf.string, name="images")],
        )
        archive.write_out(str(path), verbose=False)

    def answers(self, path: pathlib.Path) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Probabilities of the first test images."""
        split = self._task.dataset.split(self._task.recipe.data.test_split)
        images = tf.stack([example["image"] for example in stream.examples(split).take(CHECKED_IMAGES)])
        served = tf.saved_model.load(str(path)).signatures["serving_default"](images=images)
        yield served["probabilities"], self._task.class_probabilities(self._model, images)["probabilities"]

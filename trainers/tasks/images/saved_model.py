"""The SavedModel of a classifier of images: encoded images in, classes and their probabilities out."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import tensorflow as tf

from flags.errors import RunError
from trainers.data import stream
from trainers.run.diverged import diverged
from trainers.session import Session


def write(session: Session, model: keras.Model, path: pathlib.Path) -> None:
    """Exports a model whose default signature takes encoded images of any sizes, gray or colour.

    `images` are [batch] strings (JPEG, PNG, BMP or GIF). It returns `probabilities` [batch, classes], and `class_ids`
    and `class_names` [batch, k], best first.
    """
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serving_default",
        lambda images: session.task.predict(model, images),
        input_signature=[tf.TensorSpec([None], tf.string, name="images")],
    )
    archive.write_out(str(path), verbose=False)


def check(session: Session, model: keras.Model, path: pathlib.Path) -> float:
    """Loads what was written and compares it with the live model on real test images."""
    images = _first_images(session, 8)
    served = tf.saved_model.load(str(path)).signatures["serving_default"](images=images)["probabilities"].numpy()
    live = session.task.predict(model, images)["probabilities"].numpy()
    if not np.isfinite(live).all():
        remedy = "a lower learning rate (--set=schedule...) or --set=train.clip_norm=1"
        raise diverged("probabilities", then="it was not exported", remedy=remedy)
    difference = float(np.max(np.abs(served - live)))
    if not difference < 1e-5:
        raise RunError(f"the exported model differs from the live one by {difference}: it was not put in place")
    return difference


def _first_images(session: Session, count: int) -> tf.Tensor:
    """The first `count` encoded images of the test split: [count] strings."""
    split = session.dataset.split(session.recipe.data.test_split)
    return tf.stack([example["image"] for example in stream.examples(split).take(count)])

"""The SavedModel of a regression: [batch, inputs] in, [batch, 1] out."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import tensorflow as tf

from flags.errors import RunError
from trainers.run.diverged import diverged
from trainers.session import Session


def write(session: Session, model: keras.Model, path: pathlib.Path) -> None:
    model.export(str(path), verbose=False)


def check(session: Session, model: keras.Model, path: pathlib.Path) -> float:
    """Loads what was written and compares it with the live model on test inputs."""
    inputs = tf.constant(session.dataset.split(session.recipe.data.test_split).inputs[:8])
    written, live = tf.saved_model.load(str(path)), model(inputs)
    if not np.isfinite(live).all():
        raise diverged("outputs", then="it was not exported")
    difference = float(np.max(np.abs(written.serve(inputs) - live)))
    if not difference < 1e-5 * max(1.0, float(np.max(np.abs(live)))):
        raise RunError(f"the exported model differs from the live one by {difference}: it was not put in place")
    return difference

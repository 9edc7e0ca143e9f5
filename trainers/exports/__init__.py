"""What a finished model is written as: a Keras file, and a SavedModel, checked against the live model as it is written.

Of the SavedModel there is a module a task, with `write(session, model, path)` and `check(session, model, path)`, which
returns the largest difference of an answer to the live model's.
"""

from __future__ import annotations

import os
import pathlib
import shutil

import keras
import numpy as np

from tf_models.deep_graphs import deep_graphs
from trainers.session import Session
from trainers.tasks.images import saved_model as images
from trainers.tasks.regression import saved_model as regression
from trainers.tasks.text import saved_model as text
from trainers.tasks.translation import saved_model as translation

WAYS = {  # task -> how its models are written; of the others, classifiers of images
    "language_modelling": text,
    "translation": translation,
    "regression": regression,
}


def write_keras_model(model: keras.Model, path: pathlib.Path) -> None:
    """Saves a model in one step: a reader finds the old file or the new one, whole."""
    aside = path.with_name(".writing.keras")
    model.save(aside)
    os.replace(aside, path)


def write_saved_model(session: Session, model: keras.Model) -> float:
    """Exports `model` into the run's folder; returns the largest difference of an answer to the live model's.

    What is written needs nothing of this project and no Keras to load. Its signatures are those of the task's
    module here (`WAYS`): they take what a client has.

    Raises:
        RunError: what was written does not compute what the live model computes, or that is not finite.
    """
    target = session.folder.saved_model
    aside = target.with_name(".saved_model.writing")
    shutil.rmtree(aside, ignore_errors=True)
    live = single_device_copy(model)
    way = WAYS.get(session.recipe.task, images)
    way.write(session, live, aside)
    difference = way.check(session, live, aside)
    shutil.rmtree(target, ignore_errors=True)
    aside.rename(target)
    return difference


def single_device_copy(model: keras.Model) -> keras.Model:
    """The same model and weights outside any distribution strategy, in float32."""
    config = keras.saving.serialize_keras_object(model)
    with keras.device("cpu:0"), deep_graphs():
        copy = keras.saving.deserialize_keras_object(_in_float32(config))
    copy.set_weights([np.asarray(weight) for weight in model.get_weights()])
    return copy


def _in_float32(config):
    """A model's config with every mixed-precision policy replaced: a server computes in float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy" and config["config"]["name"].startswith("mixed_"):
            return {**config, "config": {"name": "float32"}}
        return {key: _in_float32(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_in_float32(value) for value in config)
    return config

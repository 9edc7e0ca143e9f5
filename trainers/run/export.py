"""Writes a finished model as a Keras file and as a SavedModel, which is checked against the live model."""

from __future__ import annotations

import os
import pathlib
import shutil

import keras
import numpy as np

from tf_models.deep_graphs import deep_graphs
from trainers.tasks.task import Task


def write_keras_model(model: keras.Model, path: pathlib.Path) -> None:
    """Saves a model atomically: a reader sees either the old file or the complete new one."""
    temporary = path.with_name(".writing.keras")
    model.save(temporary)
    os.replace(temporary, path)


def write_saved_model(task: Task, model: keras.Model, path: pathlib.Path) -> float:
    """Exports `model` to `path`; returns the largest difference between its outputs and the live model's.

    Raises:
        RunError: the outputs of the SavedModel differ from the live model's, or are not finite. An earlier SavedModel
            at `path` is left in place.
    """
    temporary = path.with_name(f".{path.name}.writing")
    shutil.rmtree(temporary, ignore_errors=True)
    saved = task.saved_model(single_device_copy(model))
    saved.write(temporary)
    difference = saved.check(temporary)
    shutil.rmtree(path, ignore_errors=True)
    temporary.rename(path)
    return difference


def single_device_copy(model: keras.Model) -> keras.Model:
    """Copies a model and its weights outside any distribution strategy, in float32."""
    config = keras.saving.serialize_keras_object(model)
    with keras.device("cpu:0"), deep_graphs():
        copy = keras.saving.deserialize_keras_object(_in_float32(config))
    copy.set_weights([np.asarray(weight) for weight in model.get_weights()])
    return copy


def _in_float32(config):
    """Replaces every mixed-precision policy in a model's config by float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy" and config["config"]["name"].startswith("mixed_"):
            return {**config, "config": {"name": "float32"}}
        return {key: _in_float32(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_in_float32(value) for value in config)
    return config

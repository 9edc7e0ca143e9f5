"""Loads a run's model: from its folder, or its network with external weights."""

from __future__ import annotations

import shlex
import sys

import keras
import tensorflow as tf

import tf_models
from flags.errors import UserError
from tf_models.deep_graphs import deep_graphs
from trainers.run.folder import RunFolder


def load_finished(experiment: str, folder: RunFolder, strategy: tf.distribute.Strategy) -> keras.Model:
    """Loads the model of a finished run.

    Raises:
        UserError: the file does not exist or cannot be read.
    """
    path = folder.keras_model
    if not path.exists():
        raise UserError(
            f"{path}: does not exist; the run is not finished. Train it first: python -m trainers.main "
            f"--experiment={experiment} --model_dir={shlex.quote(str(folder.path))}"
        )
    try:
        with strategy.scope(), deep_graphs():
            return keras.saving.load_model(path)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: not a Keras file of this project ({str(error).splitlines()[0]}).") from error


def load_imported(model: keras.Model, path: str, *, mode: str, quiet: bool) -> keras.Model:
    """Loads all weights of the recipe's model from `--init_from`; prints their expected preprocessing on stderr.

    Raises:
        UserError: the weights cannot be read, belong to another model, or lack the head.
    """
    loaded = load_external(model, path)
    if loaded.initial:
        raise UserError(
            f"--init_from={path}: {loaded}. Without a trained head there is nothing to {mode}: "
            "use weights with the same number of classes, or train first."
        )
    if not quiet:
        print(f"--init_from: {loaded}", file=sys.stderr)
    return model


def load_external(model: keras.Model, path: str) -> tf_models.weights.Loaded:
    """Loads the weights of `--init_from` into the model, all of them except those that `Loaded.initial` names.

    Raises:
        UserError: the file cannot be read or belongs to another model.
    """
    try:
        return tf_models.load_weights(model, path)
    except (ValueError, OSError) as error:
        raise UserError(f"--init_from: {error}") from error

"""The model of a run: the one in its folder, or weights from elsewhere in its network."""

from __future__ import annotations

import sys

import keras
import tensorflow as tf

import tf_models
from flags.errors import UserError
from tf_models.deep_graphs import deep_graphs
from trainers.run.folder import RunFolder


def load_finished(experiment: str, folder: RunFolder, strategy: tf.distribute.Strategy) -> keras.Model:
    """The model in the folder of a finished run.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    path = folder.keras_model
    if not path.exists():
        raise UserError(
            f"{path}: there is no finished run here. Train it first: python -m trainers.main "
            f"--experiment={experiment} --model_dir={folder.path}"
        )
    try:
        with strategy.scope(), deep_graphs():
            return keras.saving.load_model(path)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: not a Keras file of this project ({str(error).splitlines()[0]}).") from error


def load_imported(model: keras.Model, path: str, *, mode: str, quiet: bool) -> keras.Model:
    """The recipe's model with all of its weights from `--init_from`; prints on stderr what they expect of images.

    Raises:
        UserError: they cannot be read, belong to another model, or lack those of the head.
    """
    try:
        loaded = tf_models.load_weights(model, path)
    except (ValueError, OSError) as error:
        raise UserError(f"--init_from: {error}") from error
    if loaded.initial:
        raise UserError(
            f"--init_from={path}: {loaded}. Without a trained head there is nothing to {mode}: "
            "use weights of as many classes, or train first."
        )
    if not quiet:
        print(f"--init_from: {loaded}", file=sys.stderr)
    return model

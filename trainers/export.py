"""`--mode=export`: a SavedModel that takes what a client has, checked against the live model as it is written."""

from __future__ import annotations

import os
import pathlib
import shutil

import keras
import numpy as np
import tensorflow as tf

from flags.errors import RunError, UserError
from flags.run import Run
from tf_models.deep_graphs import deep_graphs
from trainers import text_export, translation_export
from trainers.data import stream
from trainers.diverged import diverged
from trainers.evaluate import load_finished, load_imported
from trainers.session import Session, open_session


def export(run: Run) -> None:
    """Writes the SavedModel of a finished run again; of imported weights also what makes its folder that of a run.

    Raises:
        UserError: the folder for imported weights holds a run already.
    """
    session = open_session(run)
    model = load_imported(session) if run.init_from else load_finished(session)
    with session.folder.locked():
        if run.init_from:
            _keep(session, model)
        difference = write_saved_model(session, model)
    print(f"{session.folder.saved_model}: written; differs from the live model by at most {difference:.1e}")


def _keep(session: Session, model: keras.Model) -> None:
    """Leaves an imported model in the folder as a finished run would."""
    folder = session.folder
    if folder.config.exists():
        raise UserError(f"--model_dir={folder.path} holds a run already. Name another folder for --init_from.")
    write_keras_model(model, folder.keras_model)
    session.task.keep(folder)
    folder.claim(session.recipe, session.settings)


def write_keras_model(model: keras.Model, path: pathlib.Path) -> None:
    """Saves a model in one step: a reader finds the old file or the new one, whole."""
    aside = path.with_name(".writing.keras")
    model.save(aside)
    os.replace(aside, path)


def write_saved_model(session: Session, model: keras.Model) -> float:
    """Exports `model` into the run's folder; returns the largest difference of an answer to the live model's.

    What is written needs nothing of this project and no Keras to load. A classifier's default signature takes `images`:
    encoded images ([batch] strings: JPEG, PNG, BMP or GIF, any sizes, gray or colour) and returns `probabilities`
    [batch, classes], `class_ids` and `class_names` [batch, k], best first. Those of texts are in `text_export` and
    `translation_export`.

    Raises:
        RunError: what was written does not compute what the live model computes, or that is not finite.
    """
    target = session.folder.saved_model
    aside = target.with_name(".saved_model.writing")
    shutil.rmtree(aside, ignore_errors=True)
    live = single_device_copy(model)
    write, check = WAYS.get(session.recipe.task, (_write_classifier, _check_classifier))
    write(session, live, aside)
    difference = check(session, live, aside)
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


def _write_classifier(session: Session, model: keras.Model, path: pathlib.Path) -> None:
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serving_default",
        lambda images: session.task.predict(model, images),
        input_signature=[tf.TensorSpec([None], tf.string, name="images")],
    )
    archive.write_out(str(path), verbose=False)


def _check_classifier(session: Session, model: keras.Model, path: pathlib.Path) -> float:
    """Loads what was written and compares it with the live model on real test images."""
    images = first_images(session, 8)
    served = tf.saved_model.load(str(path)).signatures["serving_default"](images=images)["probabilities"].numpy()
    live = session.task.predict(model, images)["probabilities"].numpy()
    if not np.isfinite(live).all():
        remedy = "a lower learning rate (--set=schedule...) or --set=train.clip_norm=1"
        raise diverged("probabilities", then="it was not exported", remedy=remedy)
    difference = float(np.max(np.abs(served - live)))
    if not difference < 1e-5:
        raise RunError(f"the exported model differs from the live one by {difference}: it was not put in place")
    return difference


def _write_regression(session: Session, model: keras.Model, path: pathlib.Path) -> None:
    """Writes a model of numbers, [batch, inputs] to [batch, 1]."""
    model.export(str(path), verbose=False)


def _check_regression(session: Session, model: keras.Model, path: pathlib.Path) -> float:
    """Loads what was written and compares it with the live model on test inputs."""
    inputs = tf.constant(session.dataset.split(session.recipe.data.test_split).inputs[:8])
    written, live = tf.saved_model.load(str(path)), model(inputs)
    if not np.isfinite(live).all():
        raise diverged("outputs", then="it was not exported")
    difference = float(np.max(np.abs(written.serve(inputs) - live)))
    if not difference < 1e-5 * max(1.0, float(np.max(np.abs(live)))):
        raise RunError(f"the exported model differs from the live one by {difference}: it was not put in place")
    return difference


WAYS = {  # task -> how its models are written and checked; of the others, classifiers of images
    "language_modelling": (text_export.write, text_export.check),
    "translation": (translation_export.write, translation_export.check),
    "regression": (_write_regression, _check_regression),
}


def first_images(session: Session, count: int) -> tf.Tensor:
    """The first `count` encoded images of the test split: [count] strings."""
    split = session.dataset.split(session.recipe.data.test_split)
    return tf.stack([example["image"] for example in stream.examples(split).take(count)])

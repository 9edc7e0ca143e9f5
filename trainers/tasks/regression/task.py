"""Regression on a few numbers an example: squared error, every step on all training examples."""

from __future__ import annotations

import keras
import tensorflow as tf

import tf_models
from flags.errors import UserError
from flags.recipe import Experiment
from trainers.data import stream
from trainers.run.folder import RunFolder
from trainers.tasks.examples import OfExamples
from trainers.tasks.regression.data import LinearDataSet, Pairs
from trainers.tasks.shares import check_shares


class Regression(OfExamples):
    """What the loop asks of regression. A batch is a dict: `inputs` [batch, dimension], `targets` [batch, 1], float32.

    The risk of the source is the mean absolute error on the test split, here `absolute_error`.
    """

    metric_names = ("squared_error", "absolute_error")
    selects_by = "squared_error"
    larger_is_better = False
    protocol_on_the_way = test_protocol = "one_pass"

    def __init__(self, recipe: Experiment, dataset: LinearDataSet):
        self.recipe = recipe
        self.dataset = dataset

    @property
    def training_set(self) -> Pairs:
        return self.dataset.split(self.recipe.data.train_split)

    @property
    def examples_per_epoch(self) -> int:
        return self.recipe.data.num_train

    def check_batches(self, replicas: int) -> None:
        train = self.recipe.train
        check_shares("train.global_batch", train.global_batch, replicas)
        if train.micro_batches > 1:
            raise UserError(
                f"train.micro_batches={train.micro_batches}: a step's examples are few and stay together. Set it to 1."
            )

    def build_model(self) -> keras.Model:
        data, model = self.recipe.data, self.recipe.model
        return tf_models.build_model(model.name, inputs=data.dimension, **model.options())

    def keep(self, folder: RunFolder) -> None:
        """Nothing: the data follow from recipe and seed."""

    def training_batches(self, first_step: int, global_batch: int, context: tf.distribute.InputContext):
        """The batches of one input pipeline, without end: of every step, each of its replicas' part of all examples."""
        examples = self.training_set
        replicas = context.num_replicas_in_sync
        own = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * own
        parts = {
            name: values.reshape(replicas, -1, values.shape[1])[first : first + own]
            for name, values in (("inputs", examples.inputs), ("targets", examples.targets))
        }
        return stream.finished(tf.data.Dataset.from_tensor_slices(parts).repeat(), context)

    def losses(self, model: keras.Model, batch, training: bool):
        """Squared errors [batch], and `squared_error`, which is the same, and `absolute_error`."""
        differences = (model(batch["inputs"], training=training) - batch["targets"])[:, 0]
        errors = tf.square(differences)
        return errors, {"squared_error": errors, "absolute_error": tf.abs(differences)}

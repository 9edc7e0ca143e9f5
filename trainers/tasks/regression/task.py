"""Regression on a few numbers per example: squared error, every step on all training examples."""

from __future__ import annotations

import keras
import tensorflow as tf

import tf_models
from flags.recipe import Experiment
from trainers.data import stream
from trainers.data.sources import GeneratedSource
from trainers.loop.state import TrainState
from trainers.tasks.description import Description
from trainers.tasks.examples import ExampleTask
from trainers.tasks.regression import data
from trainers.tasks.regression.data import LinearDataSet, Pairs
from trainers.tasks.regression.evaluation import RegressionEvaluation
from trainers.tasks.regression.saved_model import RegressionSavedModel
from trainers.tasks.shares import check_shares
from trainers.tasks.task import Opening


class Regression(ExampleTask):
    """Regression. A batch is a dict: `inputs` [batch, dimension] and `targets` [batch, 1], float32.

    The risk of Heckel & Yilmaz (2020) is the mean absolute error on the test split, here `absolute_error`.
    """

    metric_names = ("squared_error", "absolute_error")
    monitor = "squared_error"
    validation_protocol = test_protocol = "one_pass"

    def __init__(self, recipe: Experiment, dataset: LinearDataSet, *, seed: int):
        self.recipe = recipe
        self.dataset = dataset
        self.seed = seed

    @classmethod
    def find_data(cls, name: str, data_dir: str | None) -> GeneratedSource:
        return data.find(name)

    @classmethod
    def check_replicas(cls, recipe: Experiment, replicas: int) -> None:
        check_shares("train.global_batch", recipe.train.global_batch, replicas)

    @classmethod
    def open(cls, recipe: Experiment, opening: Opening) -> Regression:
        return cls(recipe, LinearDataSet(recipe.data, seed=opening.seed), seed=opening.seed)

    @property
    def training_set(self) -> Pairs:
        return self.dataset.split(self.recipe.data.train_split)

    @property
    def examples_per_epoch(self) -> int:
        return self.recipe.data.num_train

    def build_model(self) -> keras.Model:
        data, model = self.recipe.data, self.recipe.model
        return tf_models.build_model(model.name, inputs=data.dimension, **model.options())

    def _batches(self, first_step: int, global_batch: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """Every step takes all training examples, divided over the replicas."""
        examples = self.training_set
        replicas = context.num_replicas_in_sync
        own = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * own
        parts = {
            name: values.reshape(replicas, -1, values.shape[1])[first : first + own]
            for name, values in (("inputs", examples.inputs), ("targets", examples.targets))
        }
        return stream.finished(tf.data.Dataset.from_tensor_slices(parts).repeat(), context)

    def losses(self, network: keras.Model, batch, training: bool):
        """Squared errors [batch], and the metrics `squared_error` (the same) and `absolute_error`."""
        differences = (network(batch["inputs"], training=training) - batch["targets"])[:, 0]
        errors = tf.square(differences)
        return errors, {"squared_error": errors, "absolute_error": tf.abs(differences)}

    def evaluation(self, protocol: str, strategy: tf.distribute.Strategy, model: keras.Model) -> RegressionEvaluation:
        return RegressionEvaluation(self, strategy, model)

    def saved_model(self, model: keras.Model) -> RegressionSavedModel:
        return RegressionSavedModel(self, model)

    def describe(self, state: TrainState, replicas: int) -> Description:
        length, examples = self.length, self._examples_at_once(replicas)
        return Description(
            length=f"steps  {length.total:,} of all {self.examples_per_epoch:,} examples",
            examples=examples,
            batch=f"batches of {examples} examples",
            remedy="--set=data.num_train=N and --set=train.global_batch=N make it smaller",
        )

"""Evaluation of a regression on a split, or on the training examples: each is one batch."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from trainers.tasks.evaluation import Evaluation
from trainers.tasks.regression.data import Pairs

if TYPE_CHECKING:
    from trainers.tasks.regression.task import Regression


class RegressionEvaluation(Evaluation):
    """A split, or the training examples, each as one batch."""

    def __init__(self, task: Regression, strategy: tf.distribute.Strategy, model: keras.Model):
        super().__init__(task, strategy, model)
        self._losses = tf.function(lambda batch: task.losses(model, batch, training=False)[1])

    def run(self, split: str, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        return self._means(self._task.dataset.split(split), weights)

    def fit(self, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        return self._means(self._task.training_set, weights)

    def _means(self, examples: Pairs, weights: contextlib.AbstractContextManager | None) -> dict[str, float]:
        with weights or contextlib.nullcontext():
            metrics = self._losses({"inputs": tf.constant(examples.inputs), "targets": tf.constant(examples.targets)})
        return {name: float(tf.reduce_mean(values)) for name, values in metrics.items()} | {
            "examples": examples.num_examples
        }

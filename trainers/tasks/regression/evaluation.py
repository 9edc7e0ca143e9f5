"""Regression on a split, and on the training examples, which are few: in one pass, as often as asked."""

from __future__ import annotations

import contextlib

import keras
import tensorflow as tf

from trainers.session import Session
from trainers.tasks.evaluation import Evaluation
from trainers.tasks.regression.data import Pairs


class RegressionEvaluation(Evaluation):
    """A split, or the training examples, each as one batch."""

    def __init__(self, session: Session, model: keras.Model):
        super().__init__(session)
        self._losses = tf.function(lambda batch: session.task.losses(model, batch, training=False)[1])

    def run(self, split: str, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        return self._means(self._session.dataset.split(split), weights)

    def fit(self, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        """The same over the training examples."""
        return self._means(self._session.task.training_set, weights)

    def _means(self, examples: Pairs, weights: contextlib.AbstractContextManager | None) -> dict[str, float]:
        with weights or contextlib.nullcontext():
            metrics = self._losses({"inputs": tf.constant(examples.inputs), "targets": tf.constant(examples.targets)})
        return {name: float(tf.reduce_mean(values)) for name, values in metrics.items()} | {
            "examples": examples.num_examples
        }

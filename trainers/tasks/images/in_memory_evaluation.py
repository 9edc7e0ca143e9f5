"""Classifiers on examples in memory: on a split, and on the training examples with their true and corrupted labels."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from trainers.data import in_memory
from trainers.loop.evaluation import EvalLoop
from trainers.session import Session
from trainers.tasks.evaluation import Evaluation


class InMemoryEvaluation(Evaluation):
    """A split, or the training examples, whose true labels are known as well."""

    def __init__(self, session: Session, model: keras.Model):
        super().__init__(session)
        self._model = model
        self._split, self._batches = functools.cache(self._split), functools.cache(self._batches)
        names = (*session.task.metric_names, "top1_clean")
        self._loop = EvalLoop(strategy=session.strategy, measure=self._measure, names=names)
        self._classes = tf.function(lambda images: tf.argmax(session.task.logits(model, images), axis=1))

    def run(self, split: str, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        metrics = self._metrics(split, weights)
        del metrics["top1_clean"]  # a split's own labels are all there are
        return metrics

    def fit(self, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        """Mean metrics over the training examples by the labels trained on, `top1_clean` by the true ones."""
        return self._metrics(None, weights)

    def predictions(self, split: str) -> dict[str, np.ndarray]:
        """Of each example of a split the `classes` found the likeliest and the `labels`, from which an ensemble votes.

        Both [examples], int16, in file order.
        """
        examples, batch = self._split(split), self._session.recipe.train.eval_batch
        starts = range(0, len(examples.labels), batch)
        classes = [self._classes(examples.images[begin : begin + batch]).numpy() for begin in starts]
        return {"classes": np.concatenate(classes).astype(np.int16), "labels": examples.labels.astype(np.int16)}

    def _metrics(self, split: str | None, weights: contextlib.AbstractContextManager | None) -> dict[str, float]:
        iterator, batches = self._batches(split)
        with weights or contextlib.nullcontext():
            return self._loop.run(iterator, batches)

    def _measure(self, batch):
        task = self._session.task
        logits = task.logits(self._model, batch["image"])
        losses, metrics = task.scores(logits, batch["label"])
        clean = tf.equal(tf.argmax(logits, axis=1), batch["true_label"])
        return metrics | {"loss": losses, "top1_clean": tf.cast(clean, tf.float32)}

    def _split(self, split: str) -> in_memory.InMemoryImages:
        session = self._session
        records = session.dataset.split(split)
        return in_memory.decoded(records, session.recipe.data, session.recipe.model.resolution)

    def _batches(self, split: str | None) -> tuple[Iterator, int]:
        """The batches of a split, or of the training examples, over and over, and how many are once.

        To begin anew takes longer than to go through these few examples.
        """
        task, train = self._session.task, self._session.recipe.train
        examples = task.training_set if split is None else self._split(split)
        true = examples.labels if split is not None else examples.true_labels
        columns = {"image": examples.images, "label": examples.labels, "true_label": true}

        def batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return in_memory.evaluation_batches(columns, global_batch=train.eval_batch, context=context).repeat()

        endless = self._session.strategy.distribute_datasets_from_function(batches)
        return iter(endless), -(-len(true) // train.eval_batch)

"""Evaluation of classifiers on in-memory examples: a split, or the training examples with true and noisy labels."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from trainers.data import in_memory
from trainers.loop.evaluation import EvalLoop
from trainers.run.files import npz_bytes
from trainers.tasks.evaluation import Evaluation

if TYPE_CHECKING:
    from trainers.tasks.images.in_memory import InMemoryClassification

PREDICTIONS = "predictions.npz"


class InMemoryEvaluation(Evaluation):
    """Evaluates a split, or the training examples, whose true labels are also known."""

    def __init__(self, task: InMemoryClassification, strategy: tf.distribute.Strategy, model: keras.Model):
        super().__init__(task, strategy, model)
        self._split, self._batches = functools.cache(self._split), functools.cache(self._batches)
        names = (*task.metric_names, "top1_clean")
        self._loop = EvalLoop(strategy=strategy, measure=self._measure, names=names)
        self._classes = tf.function(lambda images: tf.argmax(task.logits(model, images), axis=1))

    def run(self, split: str, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        metrics = self._metrics(split, weights)
        del metrics["top1_clean"]  # equal to top1 on a split, whose labels are all true
        return metrics

    def fit(self, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        """Mean metrics over the training examples by their training labels; `top1_clean` by the true labels."""
        return self._metrics(None, weights)

    def assets(self, split: str) -> Mapping[str, bytes]:
        return {PREDICTIONS: npz_bytes(self.predictions(split))} if self._task.recipe.train.measure_fit else {}

    def predictions(self, split: str) -> dict[str, np.ndarray]:
        """The most likely `classes` and the true `labels` of a split: [examples] int16, in file order."""
        examples, batch = self._split(split), self._task.recipe.train.eval_batch
        starts = range(0, len(examples.labels), batch)
        classes = [self._classes(examples.images[begin : begin + batch]).numpy() for begin in starts]
        return {"classes": np.concatenate(classes).astype(np.int16), "labels": examples.labels.astype(np.int16)}

    def _metrics(self, split: str | None, weights: contextlib.AbstractContextManager | None) -> dict[str, float]:
        iterator, batches = self._batches(split)
        with weights or contextlib.nullcontext():
            return self._loop.run(iterator, batches)

    def _measure(self, batch):
        task = self._task
        logits = task.logits(self._model, batch["image"])
        losses, metrics = task.scores(logits, batch["label"])
        clean = tf.equal(tf.argmax(logits, axis=1), batch["true_label"])
        return metrics | {"loss": losses, "top1_clean": tf.cast(clean, tf.float32)}

    def _split(self, split: str) -> in_memory.InMemoryImages:
        recipe = self._task.recipe
        return in_memory.decoded(self._task.dataset.split(split), recipe.data, recipe.model.resolution)

    def _batches(self, split: str | None) -> tuple[Iterator, int]:
        """The endlessly repeated batches of a split or the training examples, and the number of batches per pass.

        Restarting an iterator takes longer than a pass over these few examples.
        """
        task, train = self._task, self._task.recipe.train
        examples = task.training_set if split is None else self._split(split)
        true = examples.labels if split is not None else examples.true_labels
        columns = {"image": examples.images, "label": examples.labels, "true_label": true}

        def batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return in_memory.evaluation_batches(columns, global_batch=train.eval_batch, context=context).repeat()

        endless = self._strategy.distribute_datasets_from_function(batches)
        return iter(endless), -(-len(true) // train.eval_batch)

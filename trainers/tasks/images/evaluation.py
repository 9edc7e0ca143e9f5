"""Evaluation of classifiers on a split that is read and decoded on the fly."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from trainers.data import stream
from trainers.loop.evaluation import EvalLoop
from trainers.tasks.evaluation import Evaluation
from trainers.tasks.images.views import Views, log_mean

if TYPE_CHECKING:
    from trainers.tasks.images.classification import Classification


class ImageEvaluation(Evaluation):
    """Evaluates a classifier, or the mean probabilities of several.

    Args:
        members: the views of each classifier (`Classification.views`).
    """

    def __init__(
        self, task: Classification, strategy: tf.distribute.Strategy, model: keras.Model, members: Sequence[Views]
    ):
        super().__init__(task, strategy, model)
        self._members = members
        self._data = functools.cache(self._data)  # per instance: a cache on the class would keep every model alive
        self._loop = EvalLoop(strategy=strategy, measure=self._measure, names=task.metric_names)

    def run(self, split: str, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        data, batches = self._data(split)
        with weights or contextlib.nullcontext():
            return self._loop.run(iter(data), batches)

    def _measure(self, batch):
        each = [member.log_probabilities(views) for member, views in zip(self._members, batch["views"])]
        losses, metrics = self._task.scores(log_mean(tf.stack(each), axis=0), batch["label"])
        return metrics | {"loss": losses}

    def _example(self, example):
        views = tuple(member.example(example["image"]) for member in self._members)
        return {"views": views, "label": tf.cast(example["label"], tf.int64)}

    def _data(self, split: str) -> tuple[tf.distribute.DistributedDataset, int]:
        """The batches of a split, and their number."""
        task, examples = self._task, self._task.dataset.split(split)
        replicas = self._strategy.num_replicas_in_sync
        replica_batch = task.recipe.train.eval_batch // replicas
        global_batch = replicas * min(member.images_at_once(replica_batch) for member in self._members)
        data = self._strategy.distribute_datasets_from_function(
            lambda context: stream.evaluation_batches(
                examples, self._example, global_batch=global_batch, context=context
            )
        )
        return data, -(-examples.num_examples // global_batch)

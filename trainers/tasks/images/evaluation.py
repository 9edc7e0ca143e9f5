"""Classifiers of images on a split that is read and decoded as it goes, by one of the protocols of testing."""

from __future__ import annotations

import contextlib
import functools

import tensorflow as tf

from trainers.data import stream
from trainers.loop.evaluation import EvalLoop
from trainers.session import Session
from trainers.tasks.evaluation import Evaluation
from trainers.tasks.images.views import Views, log_mean


class ImageEvaluation(Evaluation):
    """Of several classifiers the mean of their probabilities is tested.

    Args:
        members: how each classifier is tested (`Classification.views`).
    """

    def __init__(self, session: Session, *members: Views):
        super().__init__(session)
        self._members = members
        self._data = functools.cache(self._data)  # its own: a cache of the class would keep every model
        self._loop = EvalLoop(strategy=session.strategy, measure=self._measure, names=session.task.metric_names)

    def run(self, split: str, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        data, batches = self._data(split)
        with weights or contextlib.nullcontext():
            return self._loop.run(iter(data), batches)

    def _measure(self, batch):
        each = [member.log_probabilities(views) for member, views in zip(self._members, batch["views"])]
        losses, metrics = self._session.task.scores(log_mean(tf.stack(each), axis=0), batch["label"])
        return metrics | {"loss": losses}

    def _example(self, example):
        views = tuple(member.example(example["image"]) for member in self._members)
        return {"views": views, "label": tf.cast(example["label"], tf.int64)}

    def _data(self, split: str) -> tuple[tf.distribute.DistributedDataset, int]:
        """The batches of a split, and how many there are."""
        session, examples = self._session, self._session.dataset.split(split)
        replicas = session.strategy.num_replicas_in_sync
        replica_batch = session.recipe.train.eval_batch // replicas
        global_batch = replicas * min(member.images_at_once(replica_batch) for member in self._members)
        data = session.strategy.distribute_datasets_from_function(
            lambda context: stream.evaluation_batches(
                examples, self._example, global_batch=global_batch, context=context
            )
        )
        return data, -(-examples.num_examples // global_batch)

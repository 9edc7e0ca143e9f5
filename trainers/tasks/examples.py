"""Common base of tasks whose batches consist of single examples."""

from __future__ import annotations

import abc
import functools

import tensorflow as tf

from trainers.loop.windows import RunLength
from trainers.tasks.task import OneBatch, Task


class ExampleTask(Task):
    """A task on a data set of examples; its unit is one example."""

    unit = "example"

    @property
    @abc.abstractmethod
    def examples_per_epoch(self) -> int:
        """The number of examples that the schedule counts as an epoch."""

    @functools.cached_property
    def length(self) -> RunLength:
        train = self.recipe.train
        return RunLength(train.total_steps(self.examples_per_epoch), train.steps_per_epoch(self.examples_per_epoch))

    def units(self, first: int, steps: int) -> int:
        return steps * self.recipe.train.global_batch

    def one_batch(self, replicas: int) -> OneBatch:
        batch = self.recipe.train.global_batch
        first = self._batches(0, batch // replicas, tf.distribute.InputContext()).take(1).cache()
        return OneBatch(first, batch)

    def batches(self, first_step: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
        return self._batches(first_step, self.recipe.train.global_batch, context)

    @abc.abstractmethod
    def _batches(self, first_step: int, global_batch: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """`batches` with a given global batch size."""

    def check_splits(self) -> None:
        data = self.recipe.data
        for split in filter(None, (data.train_split, data.validation_split, data.test_split)):
            self.dataset.split(split)

    def _examples_at_once(self, replicas: int) -> int:
        """The number of examples that a device processes at once; batch norm averages over them."""
        train = self.recipe.train
        return train.global_batch // replicas // train.micro_batches_of(replicas)

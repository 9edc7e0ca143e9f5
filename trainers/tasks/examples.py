"""What tasks have in common whose steps see single examples: how long a run is, and which splits it needs."""

from __future__ import annotations

import functools

import tensorflow as tf

from flags.recipe import Experiment
from trainers.loop.windows import Steps
from trainers.tasks.task import Task


class OfExamples(Task):
    """A task on a data set of examples; a subclass says how many of them are an epoch (`examples_per_epoch`)."""

    unit = "example"  # of speed
    recipe: Experiment
    examples_per_epoch: int

    @functools.cached_property
    def steps(self) -> Steps:
        train = self.recipe.train
        return Steps(train.total_steps(self.examples_per_epoch), train.steps_per_epoch(self.examples_per_epoch))

    def units(self, first: int, steps: int) -> int:
        """How many examples `steps` steps from step `first` on see."""
        return steps * self.recipe.train.global_batch

    def same_batch(self, replicas: int) -> tf.data.Dataset:
        """One replica's first batch, held in memory, for a benchmark."""
        replica_batch = self.recipe.train.global_batch // replicas
        return self.training_batches(0, replica_batch, tf.distribute.InputContext()).take(1).cache()

    def units_of_same_batch(self, replicas: int) -> int:
        """How many examples a step sees in which every replica has such a batch."""
        return self.recipe.train.global_batch

    def check_splits(self) -> None:
        """Every split of the recipe is there, before anything is trained."""
        data = self.recipe.data
        for split in filter(None, (data.train_split, data.validation_split, data.test_split)):
            self.dataset.split(split)

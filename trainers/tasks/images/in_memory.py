"""Image classification with in-memory training images: a subset, with optional label noise."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from flags.data import SmallImages
from flags.recipe import Experiment
from trainers.data import in_memory
from trainers.data.splits import check_num_train
from trainers.loop.windows import RunLength
from trainers.run.files import npz_bytes
from trainers.tasks.images.classification import Classification
from trainers.tasks.images.in_memory_evaluation import InMemoryEvaluation
from trainers.tasks.shares import check_shares
from trainers.tasks.task import Task

LABELS = "labels.npz"  # indices of the training images, and their true and training labels


class InMemoryClassification(Classification):
    """Classification of in-memory images. A batch is as in `Classification`, plus `share` [batch].

    An epoch visits all examples once, and its last batch may be smaller. `share` is global_batch divided by the number
    of examples of the step in all replicas, so that a step's gradient is always the mean over its examples.
    """

    @classmethod
    def of(cls, recipe: Experiment) -> type[Task]:
        """Images that are not kept in memory use `Classification`."""
        return cls if isinstance(recipe.data, SmallImages) else Classification

    @functools.cached_property
    def training_set(self) -> in_memory.TrainingSet:
        """The training examples with their true and training labels."""
        data = self.recipe.data
        pool = in_memory.decoded(self.dataset.split(data.train_split), data, self.recipe.model.resolution)
        return in_memory.training_set(
            pool,
            num_train=data.num_train,
            label_noise=data.label_noise,
            num_classes=self.num_classes,
            subset_seed=self.seed if data.subset_seed is None else data.subset_seed,
            noise_seed=self.seed if data.noise_seed is None else data.noise_seed,
        )

    @property
    def examples_per_epoch(self) -> int:
        return self.recipe.data.num_train or self.dataset.split(self.recipe.data.train_split).num_examples

    @functools.cached_property
    def length(self) -> RunLength:
        """As PyTorch counts: the last batch of an epoch is kept, whatever its size."""
        train = self.recipe.train
        per_epoch = -(-self.examples_per_epoch // train.global_batch)
        total = train.steps or max(1, int(round(train.epochs * per_epoch, 6)))
        return RunLength(total, per_epoch)

    def units(self, first: int, steps: int) -> int:
        per_epoch, batch, examples = self.length.per_epoch, self.recipe.train.global_batch, self.examples_per_epoch

        def seen(step: int) -> int:
            epochs, rest = divmod(step, per_epoch)
            return epochs * examples + rest * batch

        return seen(first + steps) - seen(first)

    def check_splits(self) -> None:
        super().check_splits()
        data = self.recipe.data
        available = self.dataset.split(data.train_split).num_examples
        check_num_train(data.num_train, available, split=data.train_split, name=data.name, unit="example")

    @classmethod
    def check_replicas(cls, recipe: Experiment, replicas: int) -> None:
        check_shares("train.global_batch", recipe.train.global_batch, replicas)
        check_shares("train.eval_batch", recipe.train.eval_batch, replicas)

    @property
    def summary(self) -> dict[str, Any]:
        used = self.training_set
        return {"label_noise": {"corrupted": int(used.is_corrupted.sum()), "examples": len(used.labels)}}

    def assets(self) -> Mapping[str, bytes]:
        used = self.training_set
        arrays = {"index": used.index, "labels": used.labels, "true_labels": used.true_labels}
        return {LABELS: npz_bytes(arrays)}

    def _stream(self, first_step, global_batch, context, mean_image) -> tf.data.Dataset:
        return in_memory.training_batches(
            self.training_set,
            self.recipe.data,
            seed=self.seed,
            first_step=first_step,
            global_batch=global_batch,
            context=context,
        )

    def evaluation(self, protocol: str, strategy: tf.distribute.Strategy, model: keras.Model) -> InMemoryEvaluation:
        return InMemoryEvaluation(self, strategy, model)

    def losses(self, network, batch, training: bool):
        """As `Classification`, each multiplied by the batch's `share`."""
        losses, metrics = super().losses(network, batch, training)
        return losses * batch["share"], {name: values * batch["share"] for name, values in metrics.items()}

"""Image classification where the training images lie in memory: a subset of them, with labels that may be wrong."""

from __future__ import annotations

import functools

import tensorflow as tf

from flags.errors import UserError
from trainers.data import in_memory
from trainers.loop.windows import Steps
from trainers.run.files import write_npz
from trainers.run.folder import RunFolder
from trainers.tasks.images.classification import Classification
from trainers.tasks.shares import check_shares


class InMemoryClassification(Classification):
    """What the loop asks of it; a batch is as in `Classification`, and has `share` [batch].

    An epoch is all examples once, and its last batch may be smaller than the others: `share` is global_batch divided by
    the examples of the step in all replicas, so that a step's gradient is always the mean over its examples.
    """

    @functools.cached_property
    def training_set(self) -> in_memory.TrainingSet:
        """The training examples that are used, and their labels, true and as trained on."""
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

    @property
    def steps(self) -> Steps:
        """As PyTorch counts: the last batch of an epoch is kept, whatever its size."""
        train = self.recipe.train
        per_epoch = -(-self.examples_per_epoch // train.global_batch)
        total = train.steps or max(1, int(round(train.epochs * per_epoch, 6)))
        return Steps(total, per_epoch)

    def units(self, first: int, steps: int) -> int:
        """How many examples `steps` steps from step `first` on see."""
        per_epoch, batch, examples = self.steps.per_epoch, self.recipe.train.global_batch, self.examples_per_epoch

        def seen(step: int) -> int:
            epochs, rest = divmod(step, per_epoch)
            return epochs * examples + rest * batch

        return seen(first + steps) - seen(first)

    def check_splits(self) -> None:
        super().check_splits()
        data = self.recipe.data
        there = self.dataset.split(data.train_split).num_examples
        if data.num_train is not None and data.num_train > there:
            raise UserError(
                f"data.num_train={data.num_train}: data.train_split={data.train_split} of {data.name} has {there:,} "
                f"examples. Take at most that many, or none for all."
            )

    def check_batches(self, replicas: int) -> None:
        train = self.recipe.train
        check_shares("train.global_batch", train.global_batch, replicas)
        if train.micro_batches > 1 or train.batch_norm_batch is not None:
            raise UserError(
                "train.micro_batches and train.batch_norm_batch: the last batch of an epoch has another size, and is "
                "not cut into parts. Set train.micro_batches=1 and train.batch_norm_batch=none."
            )

    @property
    def facts(self) -> dict:
        """What results say of the training examples besides how they are fitted."""
        used = self.training_set
        return {"label_noise": {"corrupted": int(used.is_corrupted.sum()), "examples": len(used.labels)}}

    def keep(self, folder: RunFolder) -> None:
        """Writes which examples are used, and their labels, true and as trained on."""
        used = self.training_set
        write_npz(folder.labels, {"index": used.index, "labels": used.labels, "true_labels": used.true_labels})

    def training_batches(self, first_step: int, global_batch: int, context: tf.distribute.InputContext):
        """The batches of one input pipeline from `first_step` on, without end."""
        return in_memory.training_batches(
            self.training_set,
            self.recipe.data,
            seed=self.seed,
            first_step=first_step,
            global_batch=global_batch,
            context=context,
        )

    def losses(self, model, batch, training: bool):
        """As `Classification`, each multiplied by the batch's `share`."""
        losses, metrics = super().losses(model, batch, training)
        return losses * batch["share"], {name: values * batch["share"] for name, values in metrics.items()}

"""Translation: the cross-entropy of a translation's subwords, each given those before it and the source."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tf_models
from flags.errors import UserError
from flags.recipe import Experiment
from trainers.loop.windows import Steps
from trainers.run.files import write_bytes
from trainers.run.folder import RunFolder
from trainers.tasks.task import Task
from trainers.tasks.translation import token_batches, vocabulary
from trainers.tasks.translation.data import Pairs, TranslationDataSet
from trainers.tasks.translation.token_batches import EncodedPairs
from trainers.tasks.translation.vocabulary import PADDING, Subwords

UNREAD = math.nan  # how many steps an epoch has where no pair is read


class Translation(Task):
    """What the loop asks of translation. A batch is what `token_batches.training_batches` gives.

    Losses are in nats. That of a step is the mean over the target tokens of all replicas, the end of each text
    included; so is that of a split.

    Args:
        seed: of the order of training pairs, and of which they are if the recipe does not say.
        kept: the folder of the run that is gone on with, or looked at; its subwords are not learnt anew.
        is_dry: whether no pair may be read: there are then as many subwords as the recipe allows.
    """

    unit = "token"
    metric_names = ("loss", "nll")
    result_names = ("loss", "nll", "perplexity", "bleu")
    selects_by = "nll"
    larger_is_better = False
    no_xla = "sentences vary in length, and XLA would compile each length anew"

    def __init__(
        self,
        recipe: Experiment,
        dataset: TranslationDataSet,
        *,
        seed: int,
        kept: RunFolder | None = None,
        is_dry: bool = False,
    ):
        self.recipe = recipe
        self.dataset = dataset
        self.seed = seed
        self.is_dry = is_dry
        self._kept = kept
        self._tokens_of = functools.lru_cache(maxsize=2)(self._tokens_of)

    @property
    def test_protocol(self) -> str:
        beam = self.recipe.data.beam
        return "greedy" if beam == 1 else f"beam_of_{beam}"

    protocol_on_the_way = test_protocol  # but that nothing is translated

    # Data

    @functools.cached_property
    def training_pairs(self) -> Pairs:
        """The pairs that are used, as texts, those that are too long as well."""
        data = self.recipe.data
        seed = self.seed if data.subset_seed is None else data.subset_seed
        return self.dataset.pairs(data.train_split, num_train=data.num_train, subset_seed=seed)

    def pairs(self, split: str) -> Pairs:
        """Those of a split; of the training split the ones that are used."""
        return self.training_pairs if split == self.recipe.data.train_split else self.dataset.pairs(split)

    @functools.cached_property
    def subwords(self) -> Subwords:
        """Those of the run's folder, or what is learnt from the training pairs, the same whenever that is done.

        Raises:
            UserError: those of the folder are damaged.
        """
        if self._kept is not None and self._kept.vocabulary.exists():
            try:
                return Subwords(self._kept.vocabulary.read_bytes())
            except (OSError, ValueError) as error:
                raise UserError(f"{self._kept.vocabulary}: {error}. Delete it: it is learnt anew.") from error
        pairs = self.training_pairs
        return vocabulary.learn((*pairs.source, *pairs.target), self.recipe.data.vocabulary)

    @functools.cached_property
    def training_set(self) -> EncodedPairs:
        """The training pairs as ids, without those that are too long."""
        return token_batches.encode(self.training_pairs, self.subwords, max_length=self.recipe.data.max_length)

    @property
    def facts(self) -> dict[str, Any]:
        used, out = len(self.training_set), self.training_set.num_left_out
        return {"training_pairs": {"used": used, "left_out": out}, "vocabulary": len(self.subwords)}

    def check_splits(self) -> None:
        """Every split of the recipe is there, before anything is trained."""
        data = self.recipe.data
        for split in filter(None, (data.validation_split, data.test_split)):
            self.dataset.num_pairs(split)
        there = self.dataset.num_pairs(data.train_split)
        if data.num_train is not None and data.num_train > there:
            raise UserError(
                f"data.num_train={data.num_train}: data.train_split={data.train_split} of {data.name} has {there:,} "
                "pairs. Take at most that many, or none for all."
            )

    def check_batches(self, replicas: int) -> None:
        """Any number of replicas can share a step's pairs (`token_batches.training_batches`)."""

    def keep(self, folder: RunFolder) -> None:
        """Writes the subwords."""
        write_bytes(folder.vocabulary, self.subwords.model)

    def passages(self, count: int = 4) -> list[str]:
        return [f"{source}\n{target}" for source, target in zip(*(side[:count] for side in self.training_pairs))]

    # Steps

    @functools.cached_property
    def steps(self) -> Steps:
        train = self.recipe.train
        if self.is_dry and train.steps is not None:
            return Steps(train.steps, UNREAD)
        per_epoch = token_batches.steps_per_epoch(self.training_set, tokens=train.global_batch)
        return Steps(train.steps or max(1, int(round(train.epochs * per_epoch, 6))), per_epoch)

    def units(self, first: int, steps: int) -> int:
        """How many target tokens `steps` steps from step `first` on predict."""
        return self._predicted(first + steps) - self._predicted(first)

    def _predicted(self, step: int) -> int:
        """How many the steps before `step` predict."""
        epochs, rest = divmod(step, self.steps.per_epoch)
        begun = int(self._tokens_of(epochs)[:rest].sum()) if rest else 0
        return epochs * self.training_set.num_target_tokens + begun

    def _tokens_of(self, epoch: int) -> np.ndarray:
        tokens = self.recipe.train.global_batch
        return token_batches.tokens_of_steps(self.training_set, tokens=tokens, seed=self.seed, epoch=epoch)

    def training_batches(self, first_step: int, global_batch: int, context: tf.distribute.InputContext):
        """The batches of one input pipeline from `first_step` on, without end."""
        return token_batches.training_batches(
            self.training_set, tokens=global_batch, seed=self.seed, first_step=first_step, context=context
        )

    def same_batch(self, replicas: int) -> tf.data.Dataset:
        """The first replica's part of the first step, held in memory, for a benchmark."""
        context = tf.distribute.InputContext(num_replicas_in_sync=replicas)
        return self.training_batches(0, self.recipe.train.global_batch, context).take(1).cache()

    def units_of_same_batch(self, replicas: int) -> int:
        """How many target tokens a step predicts in which every replica has such a batch."""
        (batch,) = self.same_batch(replicas)
        return replicas * int(np.count_nonzero(batch["labels"] != PADDING))

    # Model and losses

    def build_model(self) -> keras.Model:
        model = self.recipe.model
        symbols = self.recipe.data.vocabulary if self.is_dry else len(self.subwords)
        return tf_models.build_model(model.name, num_classes=symbols, **model.options())

    def losses(self, model: keras.Model, batch, training: bool):
        """What each pair [batch] adds to the step's mean loss, by which `global_batch` is multiplied, and `nll`."""
        smoothed, nll = self.sums(model, batch, training)
        share = self.recipe.train.global_batch / batch["tokens"]
        return smoothed * share, {"nll": nll * share}

    def sums(self, model: keras.Model, batch, training: bool):
        """The cross-entropy of each pair's target tokens, summed, [batch]: smoothed, and by the labels themselves.

        A smoothed label is (1 - s) onehot + s / symbols, padding's column included; padding is no label.
        """
        logits = tf.cast(model({"source": batch["source"], "target": batch["target"]}, training=training), tf.float32)
        labels, symbols, smoothing = batch["labels"], logits.shape[-1], self.recipe.train.label_smoothing
        targets = tf.one_hot(labels, symbols, 1 - smoothing + smoothing / symbols, smoothing / symbols)
        smoothed = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        nll = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.stop_gradient(logits))
        return tuple(tf.reduce_sum(tf.where(labels == PADDING, 0.0, loss), axis=1) for loss in (smoothed, nll))

    def completed(self, means: Mapping[str, float]) -> dict[str, float]:
        """With `perplexity`, e to the mean negative log likelihood of a token."""
        return {**means, "perplexity": float(np.exp(means["nll"]))}

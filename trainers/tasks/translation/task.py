"""Translation: the cross-entropy of a translation's subwords, each given those before it and the source."""

from __future__ import annotations

import functools
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tf_models
from flags.errors import UserError
from flags.recipe import Experiment
from flags.run import Run
from trainers.data.sources import GeneratedSource, Source
from trainers.data.splits import check_num_train
from trainers.loop.state import TrainState
from trainers.loop.windows import RunLength
from trainers.run.tensorboard import TensorBoard
from trainers.tasks.description import Description
from trainers.tasks.task import OneBatch, Opening, Task
from trainers.tasks.translation import data, token_batches, translating, vocabulary
from trainers.tasks.translation.data import Pairs, TranslationDataSet
from trainers.tasks.translation.evaluation import TranslationEvaluation
from trainers.tasks.translation.saved_model import TranslationSavedModel
from trainers.tasks.translation.token_batches import EncodedPairs
from trainers.tasks.translation.vocabulary import PADDING, Subwords

VOCABULARY = "vocabulary.model"  # the subwords (SentencePiece), in the run directory
UNREAD = math.nan  # steps per epoch if no pairs are read


class Translation(Task):
    """Translation of sentences. A batch is an element of `token_batches.training_batches`.

    Losses are in nats. The loss of a step, or of a split, is the mean over all target tokens of all replicas, including
    the end of each text.

    Args:
        seed: seed of the order of training pairs, and of their choice if the recipe gives no `subset_seed`.
        is_there: whether the data set is prepared.
        kept: the vocabulary of the run to resume or read; None: learn it from the training pairs.
        dry: read no pairs; the vocabulary then has the largest size that the recipe allows.
    """

    unit = "token"
    metric_names = ("loss", "nll")
    result_names = ("loss", "nll", "perplexity", "bleu")
    monitor = "nll"
    no_xla = "sentences vary in length, and XLA would recompile for each length"

    def __init__(
        self,
        recipe: Experiment,
        dataset: TranslationDataSet,
        *,
        seed: int,
        is_there: bool = True,
        kept: pathlib.Path | None = None,
        dry: bool = False,
    ):
        self.recipe = recipe
        self.dataset = dataset
        self.seed = seed
        self._is_there = is_there
        self._kept = kept
        self._dry = dry
        self._tokens_of = functools.lru_cache(maxsize=2)(self._tokens_of)

    @classmethod
    def find_data(cls, name: str, data_dir: str | None) -> Source | GeneratedSource:
        return data.find(name, data_dir)

    @classmethod
    def check_replicas(cls, recipe: Experiment, replicas: int) -> None:
        """Any number of replicas can share a step's pairs (`token_batches.training_batches`)."""

    @classmethod
    def open(cls, recipe: Experiment, opening: Opening) -> Translation:
        kept = opening.folder.path / VOCABULARY if opening.folder is not None else None
        return cls(
            recipe,
            data.open_pairs(opening.source, seed=opening.seed),
            seed=opening.seed,
            is_there=opening.source.is_prepared,
            kept=kept if kept is not None and kept.exists() else None,
            dry=opening.dry,
        )

    @property
    def test_protocol(self) -> str:
        beam = self.recipe.data.beam
        return "greedy" if beam == 1 else f"beam_of_{beam}"

    validation_protocol = test_protocol  # without translations

    # Data

    @functools.cached_property
    def training_pairs(self) -> Pairs:
        """The training pairs as texts, including those that are too long."""
        data = self.recipe.data
        seed = self.seed if data.subset_seed is None else data.subset_seed
        return self.dataset.pairs(data.train_split, num_train=data.num_train, subset_seed=seed)

    def pairs(self, split: str) -> Pairs:
        """The pairs of a split; for the training split, those of the training subset."""
        return self.training_pairs if split == self.recipe.data.train_split else self.dataset.pairs(split)

    @functools.cached_property
    def subwords(self) -> Subwords:
        """The subwords in the run directory, or those learnt from the training pairs (deterministically).

        Raises:
            UserError: the file in the run directory is damaged.
        """
        if self._kept is not None:
            try:
                return Subwords(self._kept.read_bytes())
            except (OSError, ValueError) as error:
                raise UserError(f"{self._kept}: {error}. Delete it; it will be learnt again.") from error
        pairs = self.training_pairs
        return vocabulary.learn((*pairs.source, *pairs.target), self.recipe.data.vocabulary)

    @functools.cached_property
    def training_set(self) -> EncodedPairs:
        """The training pairs as ids, except those that are too long."""
        return token_batches.encode(self.training_pairs, self.subwords, max_length=self.recipe.data.max_length)

    @property
    def summary(self) -> dict[str, Any]:
        used, out = len(self.training_set), self.training_set.num_left_out
        return {"training_pairs": {"used": used, "left_out": out}, "vocabulary": len(self.subwords)}

    def check_splits(self) -> None:
        """Raises UserError if a split of the recipe is missing."""
        data = self.recipe.data
        for split in filter(None, (data.validation_split, data.test_split)):
            self.dataset.num_pairs(split)
        available = self.dataset.num_pairs(data.train_split)
        check_num_train(data.num_train, available, split=data.train_split, name=data.name, unit="pair")

    def assets(self) -> Mapping[str, bytes]:
        return {VOCABULARY: self.subwords.model}

    def write_inputs(self, board: TensorBoard) -> None:
        board.texts("inputs", self.passages(), 0)

    def passages(self, count: int = 4) -> list[str]:
        """The first training pairs as text."""
        return [f"{source}\n{target}" for source, target in zip(*(side[:count] for side in self.training_pairs))]

    # Steps

    @functools.cached_property
    def length(self) -> RunLength:
        train = self.recipe.train
        if self._dry and train.steps is not None:
            return RunLength(train.steps, UNREAD)
        per_epoch = token_batches.steps_per_epoch(self.training_set, tokens=train.global_batch)
        return RunLength(train.steps or max(1, int(round(train.epochs * per_epoch, 6))), per_epoch)

    def units(self, first: int, steps: int) -> int:
        """The number of target tokens that `steps` steps from step `first` on predict."""
        return self._predicted(first + steps) - self._predicted(first)

    def _predicted(self, step: int) -> int:
        """The number of target tokens predicted before `step`."""
        epochs, rest = divmod(step, self.length.per_epoch)
        begun = int(self._tokens_of(epochs)[:rest].sum()) if rest else 0
        return epochs * self.training_set.num_target_tokens + begun

    def _tokens_of(self, epoch: int) -> np.ndarray:
        tokens = self.recipe.train.global_batch
        return token_batches.tokens_of_steps(self.training_set, tokens=tokens, seed=self.seed, epoch=epoch)

    def batches(self, first_step: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
        return token_batches.training_batches(
            self.training_set,
            tokens=self.recipe.train.global_batch,
            seed=self.seed,
            first_step=first_step,
            context=context,
        )

    def one_batch(self, replicas: int) -> OneBatch:
        context = tf.distribute.InputContext(num_replicas_in_sync=replicas)
        first = self.batches(0, context).take(1).cache()
        (batch,) = first
        return OneBatch(first, replicas * int(np.count_nonzero(batch["labels"] != PADDING)))

    # Model and losses

    def build_model(self) -> keras.Model:
        model = self.recipe.model
        symbols = self.recipe.data.vocabulary if self._dry else len(self.subwords)
        return tf_models.build_model(model.name, num_classes=symbols, **model.options())

    def losses(self, network: keras.Model, batch, training: bool):
        """The contribution of each pair [batch] to the step's mean loss, times `global_batch`, and `nll`."""
        smoothed, nll = self.sums(network, batch, training)
        share = self.recipe.train.global_batch / batch["tokens"]
        return smoothed * share, {"nll": nll * share}

    def sums(self, model: keras.Model, batch, training: bool):
        """The summed cross-entropy of each pair's target tokens, [batch], with and without label smoothing.

        A smoothed label is (1 - s) onehot + s / symbols, including the padding column; padding itself has no label.
        """
        logits = tf.cast(model({"source": batch["source"], "target": batch["target"]}, training=training), tf.float32)
        labels, symbols, smoothing = batch["labels"], logits.shape[-1], self.recipe.train.label_smoothing
        targets = tf.one_hot(labels, symbols, 1 - smoothing + smoothing / symbols, smoothing / symbols)
        smoothed = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        nll = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.stop_gradient(logits))
        return tuple(tf.reduce_sum(tf.where(labels == PADDING, 0.0, loss), axis=1) for loss in (smoothed, nll))

    def derived(self, means: Mapping[str, float]) -> dict[str, float]:
        """Adds `perplexity`, e to the power of the mean negative log likelihood per token."""
        return {**means, "perplexity": float(np.exp(means["nll"]))}

    def evaluation(self, protocol: str, strategy: tf.distribute.Strategy, model: keras.Model) -> TranslationEvaluation:
        return TranslationEvaluation(self, strategy, model)

    def saved_model(self, model: keras.Model) -> TranslationSavedModel:
        return TranslationSavedModel(self, model)

    def generate(self, run: Run, model: keras.Model, device: str) -> None:
        translating.translate(run, self, model, device)

    def describe(self, state: TrainState, replicas: int) -> Description:
        """Multiply-adds are per source and target token.

        `pairs` is the number of training pairs, or `data.num_train` if the data set is not prepared. Memory is
        estimated for a batch of pairs of the maximum length on both sides.
        """
        data, train = self.recipe.data, self.recipe.train
        pairs = self.dataset.num_pairs(data.train_split) if self._is_there else None
        pairs = pairs if data.num_train is None else data.num_train
        longest = min(data.max_length + 1, train.global_batch)  # including `END`
        at_once = max(1, train.global_batch // replicas // longest)
        written = "all" if pairs is None else f"{pairs:,}"
        return Description(
            facts={"unit": self.unit, "pairs": pairs, "vocabulary": data.vocabulary, "longest": longest},
            length=f"steps  {self.length.total:,} of at most {train.global_batch:,} subwords per side, "
            f"padding included: {written} pairs in a vocabulary of at most {data.vocabulary:,}",
            examples=at_once,
            positions=longest,
            batch=f"{at_once} pairs of {longest} subwords per side, the longest",
            remedy="--set=train.global_batch=N takes fewer",
            per=self.unit,
        )

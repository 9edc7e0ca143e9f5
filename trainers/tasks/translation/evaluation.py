"""Evaluation of a translation model on a split: the exact loss per token, and BLEU of its translations."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from sacrebleu.metrics import BLEU

from trainers.loop.evaluation import EvalLoop
from trainers.run.tensorboard import TensorBoard
from trainers.tasks.evaluation import Evaluation, Final
from trainers.tasks.translation import token_batches
from trainers.tasks.translation.token_batches import EncodedPairs
from trainers.tasks.translation.translating import Translator
from trainers.tasks.translation.vocabulary import PADDING

if TYPE_CHECKING:
    from trainers.tasks.translation.task import Translation

FITTED = 2_000  # maximum number of training pairs that `fit` evaluates
SHOWN = 5  # number of example translations


class TranslationEvaluation(Evaluation):
    """Every target token counts once, including the end of each text; long pairs are not dropped."""

    def __init__(self, task: Translation, strategy: tf.distribute.Strategy, model: keras.Model):
        super().__init__(task, strategy, model)
        self._batches = functools.cache(self._batches)
        self._loop = EvalLoop(strategy=strategy, measure=self._measure, names=task.metric_names)

    def run(self, split: str, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        """Mean loss per token, with and without smoothing, perplexity, and the numbers of `tokens` and `pairs`."""
        return self._means(split, weights)

    def fit(self, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        """The same for at most `FITTED` training pairs, evenly spaced over the training set."""
        return self._means(None, weights)

    def final(self, split: str) -> Final:
        """`bleu` (0 to 100) of a split's translations with the recipe's `data.beam`, and sacrebleu's signature.

        `translations` are examples: source, ours, reference.
        """
        task, strategy = self._task, self._strategy
        pairs = task.pairs(split)
        translator = Translator(self._model, task.subwords, beam=task.recipe.data.beam)
        with tf.device(strategy.extended.worker_devices[0]):
            ours = translator.translate(pairs.source)
        bleu = BLEU()
        score = bleu.corpus_score(ours, [list(pairs.target)]).score
        shown = [
            {"source": pairs.source[place], "ours": ours[place], "reference": pairs.target[place]}
            for place in _evenly(len(ours), SHOWN)
        ]
        return Final({"bleu": score}, {"bleu_signature": str(bleu.get_signature()), "translations": shown})

    def write_extras(self, extras: Mapping[str, Any], board: TensorBoard, step: int) -> None:
        texts = ["\n".join(f"{side:9}  {text}" for side, text in one.items()) for one in extras["translations"]]
        board.texts("translations", texts, step, split="eval")

    def format_extras(self, extras: Mapping[str, Any]) -> str:
        texts = (
            f"  source       {one['source']}\n  ours         {one['ours']}\n  reference    {one['reference']}"
            for one in extras["translations"]
        )
        return "\n\n".join([f"  BLEU is      {extras['bleu_signature']}", *texts])

    def _means(self, split: str | None, weights: contextlib.AbstractContextManager | None) -> dict[str, float]:
        iterator, batches, pairs = self._batches(split)
        with weights or contextlib.nullcontext():
            means = self._loop.run(iterator, batches)
        tokens = means.pop("examples")
        return self._task.derived(means) | {"tokens": tokens, "pairs": pairs}

    def _measure(self, batch):
        """Means over each pair's tokens; the pair's weight is their number."""
        tokens = tf.maximum(batch["weight"], 1.0)
        smoothed, nll = self._task.sums(self._model, batch, training=False)
        return {"loss": smoothed / tokens, "nll": nll / tokens}

    def _batches(self, split: str | None) -> tuple[Iterator, int, int]:
        """Endlessly repeated batches of a split or of training pairs; their number per pass; the number of pairs."""
        pairs = self._encoded(split)
        # Pairs of similar length are batched together to reduce padding.
        pairs = pairs.at(np.argsort(pairs.lengths, kind="stable"))

        def batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
            tokens = self._task.recipe.train.eval_batch
            return token_batches.evaluation_batches(pairs, tokens=tokens, context=context).map(_by_tokens)

        once = len(batches(tf.distribute.InputContext()))
        endless = self._strategy.distribute_datasets_from_function(lambda context: batches(context).repeat())
        return iter(endless), once, len(pairs)

    def _encoded(self, split: str | None) -> EncodedPairs:
        task = self._task
        if split is None:
            return task.training_set.at(_evenly(len(task.training_set), FITTED))
        return token_batches.encode(task.pairs(split), task.subwords)


def _by_tokens(batch):
    """Weights the pairs of a batch by their number of target tokens."""
    return {**batch, "weight": tf.math.count_nonzero(batch["labels"] != PADDING, axis=1, dtype=tf.float32)}


def _evenly(count: int, most: int) -> np.ndarray:
    """At most `most` evenly spaced places out of `count`, from the first to the last."""
    return np.linspace(0, count - 1, min(count, most)).astype(int)

"""A translation model on a split: the exact loss of its tokens, and the BLEU of what it makes of its sources."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sacrebleu.metrics import BLEU

from trainers.data import token_batches
from trainers.data.token_batches import EncodedPairs
from trainers.data.vocabulary import PADDING
from trainers.loop import EvalLoop
from trainers.session import Session
from trainers.translating import Translator

FITTED = 2_000  # training pairs, at most, that `fit` measures
SHOWN = 5  # translations


class TranslationEvaluation:
    """Tests a model as often as asked, in inference mode; what was compiled for one set of pairs is used for all.

    Every target token counts exactly once, however many replicas there are, the end of each text included. No pair is
    left out.
    """

    def __init__(self, session: Session, model: keras.Model):
        self._session = session
        self._model = model
        names = session.task.metric_names
        self._loop = EvalLoop(strategy=session.strategy, measure=self._measure, names=names)

    def run(self, split: str, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        """Mean loss a token, smoothed and not, and perplexity; `tokens` and `pairs` say of how many.

        Args:
            weights: a context that swaps the average in.
        """
        return self._means(split, weights)

    def fit(self, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        """The same of at most `FITTED` training pairs, evenly taken from those that are used."""
        return self._means(None, weights)

    def translate(self, split: str) -> tuple[dict[str, float], dict[str, Any]]:
        """`bleu` (0 to 100) of a split's translations by the recipe's `data.beam`, and what belongs to it.

        That is sacrebleu's signature of how it was computed, and some `translations`: source, ours, reference.
        """
        task, strategy = self._session.task, self._session.strategy
        pairs = task.pairs(split)
        translator = Translator(self._model, task.subwords, beam=self._session.recipe.data.beam)
        with tf.device(strategy.extended.worker_devices[0]):
            ours = translator.translate(pairs.source)
        bleu = BLEU()
        score = bleu.corpus_score(ours, [list(pairs.target)]).score
        shown = [
            {"source": pairs.source[place], "ours": ours[place], "reference": pairs.target[place]}
            for place in _evenly(len(ours), SHOWN)
        ]
        return {"bleu": score}, {"bleu_signature": str(bleu.get_signature()), "translations": shown}

    def _means(self, split: str | None, weights: contextlib.AbstractContextManager | None) -> dict[str, float]:
        data, batches, pairs = self._data(split)
        with weights or contextlib.nullcontext():
            means = self._loop.run(iter(data), batches)
        tokens = means.pop("examples")
        return self._session.task.completed(means) | {"tokens": tokens, "pairs": pairs}

    def _measure(self, batch):
        """Means over each pair's tokens, which are its weight."""
        tokens = tf.maximum(batch["weight"], 1.0)
        smoothed, nll = self._session.task.sums(self._model, batch, training=False)
        return {"loss": smoothed / tokens, "nll": nll / tokens}

    @functools.cache  # noqa: B019 (it lives as long as its run)
    def _data(self, split: str | None) -> tuple[tf.distribute.DistributedDataset, int, int]:
        """The batches of a split, or of training pairs, how many there are, and of how many pairs."""
        session, pairs = self._session, self._encoded(split)
        # Those of similar length together: less padding.
        pairs = pairs.at(np.argsort(pairs.lengths, kind="stable"))

        def batches(context: tf.distribute.InputContext):
            tokens = session.recipe.train.eval_batch
            return token_batches.evaluation_batches(pairs, tokens=tokens, context=context).map(_by_tokens)

        data = session.strategy.distribute_datasets_from_function(batches)
        return data, len(batches(tf.distribute.InputContext())), len(pairs)

    def _encoded(self, split: str | None) -> EncodedPairs:
        task = self._session.task
        if split is None:
            return task.training_set.at(_evenly(len(task.training_set), FITTED))
        return token_batches.encode(task.pairs(split), task.subwords)


def _by_tokens(batch):
    """A batch whose pairs count by their target tokens."""
    return {**batch, "weight": tf.math.count_nonzero(batch["labels"] != PADDING, axis=1, dtype=tf.float32)}


def _evenly(count: int, most: int) -> np.ndarray:
    """At most so many places of `count`, from the first to the last."""
    return np.linspace(0, count - 1, min(count, most)).astype(int)

"""Evaluation of a language model on a whole split: in lanes, in order, with state and memory carried along."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from trainers.loop.evaluation import EvalLoop
from trainers.loop.stateful import StatefulModel
from trainers.tasks.evaluation import Evaluation, Final
from trainers.tasks.text import compressors, segments
from trainers.tasks.text.symbols import symbol_losses

if TYPE_CHECKING:
    from trainers.tasks.text.task import LanguageModelling

AUTHOR = "_author"  # suffix of the metric averaged as in the author's code


class TextEvaluation(Evaluation):
    """Evaluates a whole text; for bytes, also with compressors as baselines.

    The split is cut into the recipe's number of lanes. The first symbol of a lane is not predicted; every other symbol
    counts once. The author's code divides the sum of the losses by one more per lane; that number has the suffix
    `_author`.
    """

    def __init__(self, task: LanguageModelling, strategy: tf.distribute.Strategy, model: keras.Model):
        super().__init__(task, strategy, model)
        self._prepared = functools.cache(self._prepared)

    def run(self, split: str, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        """Mean loss and metric over a split, exact and as in the author's code, and the number of predicted symbols."""
        prepared = self._prepared(split)
        prepared.network.clear()  # an evaluation of diverged weights may have left NaN
        with weights or contextlib.nullcontext():
            numbers = prepared.loop.run(iter(prepared.data), prepared.segments)
        task, loss = self._task, numbers["loss"]
        author = loss * (prepared.rows - 1) / prepared.rows
        return {
            "loss": loss,
            task.metric: float(task.metric_of(loss)),
            f"{task.metric}{AUTHOR}": float(task.metric_of(author)),
            f"{task.unit}s": numbers["examples"],
            "lanes": prepared.lanes,
        }

    def protocol(self, split: str) -> str:
        return f"{self._lanes(split)} lanes"

    def final(self, split: str) -> Final:
        return Final({}, {"compressors": self._compressors(split)} if self._task.unit == "byte" else {})

    def format_extras(self, extras: Mapping[str, Any]) -> str:
        if "compressors" not in extras:
            return ""
        ways = extras["compressors"]
        lines = [f"  {name:17} " + "  ".join(f"{bits[name]:.4f}" for bits in ways.values()) for name in ways["alone"]]
        return "\n".join([f"bits per character of compressors on the same bytes: {', '.join(ways)}", *lines])

    def _compressors(self, split: str) -> dict[str, dict[str, float]]:
        """Bits per character of compressors on a split, by use of the training text, then by compressor."""
        dataset, train_split = self._task.dataset, self._task.recipe.data.train_split
        text = dataset.text(split)
        bits = {"alone": compressors.bits_per_character(text)}
        if split != train_split:
            bits["after the training part"] = compressors.bits_per_character(text, dataset.text(train_split))
        return bits

    def _lanes(self, split: str) -> int:
        data = self._task.recipe.data
        return data.test_lanes if split == data.test_split else data.validation_lanes

    def _prepared(self, split: str) -> _Prepared:
        strategy, data = self._strategy, self._task.recipe.data
        count = self._lanes(split)
        lanes = segments.lanes(self._task.dataset.tokens(split), count)
        rows = lanes.shape[1]
        cut = segments.fixed_segments(rows, data.segment_length)
        with strategy.scope():
            network = StatefulModel(strategy, self._model, count)

        def measure(batch):
            outputs = network(batch["tokens"], batch["is_first"], training=False)
            return {"loss": tf.reduce_mean(symbol_losses(self._model, outputs["hidden"], batch["targets"]), axis=1)}

        return _Prepared(
            network=network,
            loop=EvalLoop(strategy=strategy, measure=measure, names=("loss",)),
            data=strategy.distribute_datasets_from_function(
                lambda context: segments.batches(lanes, cut, first_step=0, context=context).map(_weighted)
            ),
            segments=len(cut),
            rows=rows,
            lanes=count,
        )


@dataclasses.dataclass(frozen=True)
class _Prepared:
    """Everything needed to evaluate a split."""

    network: StatefulModel
    loop: EvalLoop
    data: tf.distribute.DistributedDataset
    segments: int
    rows: int
    lanes: int


def _weighted(batch):
    """Weights the lanes of a batch by their number of symbols."""
    return {**batch, "weight": tf.fill(tf.shape(batch["is_first"]), tf.cast(tf.shape(batch["targets"])[1], tf.float32))}

"""A language model on a whole split: in lanes, in order, state and memory carried from segment to segment."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from trainers.loop.evaluation import EvalLoop
from trainers.loop.stateful import StatefulModel
from trainers.session import Session
from trainers.tasks.evaluation import Evaluation
from trainers.tasks.text import compressors, segments
from trainers.tasks.text.task import symbol_losses

AUTHOR = "_author"  # the metric as the author's code averages it


class TextEvaluation(Evaluation):
    """A whole text; of bytes, also what compressors make of it.

    The split is cut into as many lanes as the recipe says, whose first symbol is not predicted; every other symbol
    counts once. The author's code divides the sum of their losses by one more a lane; that figure has the ending
    `_author`.
    """

    def __init__(self, session: Session, model: keras.Model):
        super().__init__(session)
        self._model = model
        self._prepared = functools.cache(self._prepared)

    def run(self, split: str, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        """Mean loss and metric over a split, exact and the author's, and how many symbols were predicted."""
        prepared = self._prepared(split)
        prepared.network.clear()  # an evaluation of diverged weights may have left NaN
        with weights or contextlib.nullcontext():
            numbers = prepared.loop.run(iter(prepared.data), prepared.segments)
        task, loss = self._session.task, numbers["loss"]
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

    def at_the_end(self, split: str) -> tuple[dict[str, float], dict[str, Any]]:
        return {}, ({"compressors": self._compressors(split)} if self._session.task.unit == "byte" else {})

    @staticmethod
    def shown(told: Mapping[str, Any]) -> str:
        if "compressors" not in told:
            return ""
        ways = told["compressors"]
        lines = [f"  {name:17} " + "  ".join(f"{bits[name]:.4f}" for bits in ways.values()) for name in ways["alone"]]
        return "\n".join([f"bits per character of compressors on the same bytes: {', '.join(ways)}", *lines])

    def _compressors(self, split: str) -> dict[str, dict[str, float]]:
        """What compressors make of a split: bits per character by how they are used, then by compressor."""
        dataset, train_split = self._session.dataset, self._session.recipe.data.train_split
        text = dataset.text(split)
        bits = {"alone": compressors.bits_per_character(text)}
        if split != train_split:
            bits["after the training part"] = compressors.bits_per_character(text, dataset.text(train_split))
        return bits

    def _lanes(self, split: str) -> int:
        data = self._session.recipe.data
        return data.test_lanes if split == data.test_split else data.validation_lanes

    def _prepared(self, split: str) -> _Prepared:
        session, data = self._session, self._session.recipe.data
        count = self._lanes(split)
        lanes = segments.lanes(session.dataset.tokens(split), count)
        rows = lanes.shape[1]
        cut = segments.fixed_segments(rows, data.segment_length)
        with session.strategy.scope():
            network = StatefulModel(session.strategy, self._model, count)

        def measure(batch):
            outputs = network(batch["tokens"], batch["is_first"], training=False)
            return {"loss": tf.reduce_mean(symbol_losses(self._model, outputs["hidden"], batch["targets"]), axis=1)}

        return _Prepared(
            network=network,
            loop=EvalLoop(strategy=session.strategy, measure=measure, names=("loss",)),
            data=session.strategy.distribute_datasets_from_function(
                lambda context: segments.batches(lanes, cut, first_step=0, context=context).map(_weighted)
            ),
            segments=len(cut),
            rows=rows,
            lanes=count,
        )


@dataclasses.dataclass(frozen=True)
class _Prepared:
    """What evaluating a split takes."""

    network: StatefulModel
    loop: EvalLoop
    data: tf.distribute.DistributedDataset
    segments: int
    rows: int
    lanes: int


def _weighted(batch):
    """A batch whose lanes count by their number of symbols."""
    return {**batch, "weight": tf.fill(tf.shape(batch["is_first"]), tf.cast(tf.shape(batch["targets"])[1], tf.float32))}

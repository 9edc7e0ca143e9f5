"""The interface of evaluations: metrics of a model on a split."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import tensorflow as tf

from trainers.run.tensorboard import TensorBoard

if TYPE_CHECKING:
    from trainers.tasks.task import Task


class Final(NamedTuple):
    """Results computed only once, on the finished model."""

    metrics: Mapping[str, float]
    extras: Mapping[str, Any]  # further entries of results.json


class Evaluation(abc.ABC):
    """Evaluates a model in inference mode, reusing the functions compiled for a split.

    Every example counts exactly once, independently of batch size and number of replicas.

    Args:
        task: provides data, batch sizes and losses.
        strategy: the replicas that share the work.
        model: evaluated with its weights at the time of a call.
    """

    def __init__(self, task: Task, strategy: tf.distribute.Strategy, model: keras.Model):
        self._task = task
        self._strategy = strategy
        self._model = model

    @abc.abstractmethod
    def run(self, split: str, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        """Returns mean metrics over a split, and the number of units as `{unit}s`.

        Args:
            weights: a context in which the model has the averaged weights.
        """

    def fit(self, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        """The same over the training examples, in inference mode and without augmentation (`train.measure_fit`)."""
        raise NotImplementedError(f"{type(self).__name__} does not measure the fit of training examples")

    def protocol(self, split: str) -> str:
        """The evaluation protocol of a split: "ten_crop", "8 lanes"."""
        return self._task.test_protocol

    def final(self, split: str) -> Final:
        """Metrics and extras that are computed only once, on the finished model."""
        return Final({}, {})

    def format_extras(self, extras: Mapping[str, Any]) -> str:
        """Formats the extras of `final` for the console; empty if there are none."""
        return ""

    def write_extras(self, extras: Mapping[str, Any], board: TensorBoard, step: int) -> None:
        """Writes the extras of `final` to TensorBoard; by default nothing."""
        return

    def assets(self, split: str) -> Mapping[str, bytes]:
        """Files, by name, to save in the folder of a finished run after evaluating a split."""
        return {}

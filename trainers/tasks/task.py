"""The contract of a task: everything that the rest of the program asks of one kind of problem.

A kind of problem is a folder beside this module plus one line in each of two registries: `flags.tasks` says what can
be done with it, `trainers.tasks` where its class is. Nothing outside that folder depends on which kind it is.
"""

from __future__ import annotations

import abc
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from flags import metrics, tasks
from flags.errors import UserError
from flags.recipe import Experiment
from flags.run import Run
from trainers.data.sources import GeneratedSource, Source
from trainers.loop.state import TrainState
from trainers.loop.windows import RunLength
from trainers.run.folder import RunFolder
from trainers.run.tensorboard import TensorBoard
from trainers.tasks.description import Description
from trainers.tasks.evaluation import Evaluation
from trainers.tasks.saved_model import SavedModel


@dataclasses.dataclass(frozen=True, kw_only=True)
class Opening:
    """What a task is opened with, besides its recipe.

    Attributes:
        source: the recipe's data set; prepared, unless `dry`.
        seed: of the order of training examples, and of everything random in them.
        data_dir: the TFDS folder; None: the default.
        folder: the run to resume or to read, whose assets (`Task.assets`) are used again; None: there is none.
        dry: the data set may be missing, and no example may be read.
        only_speed: only speed will be measured, so inputs may have any values.
        quiet: print no progress.
    """

    source: Source | GeneratedSource
    seed: int = 0
    data_dir: str | None = None
    folder: RunFolder | None = None
    dry: bool = False
    only_speed: bool = False
    quiet: bool = True


class OneBatch(NamedTuple):
    """A batch for benchmarks: the same in every step."""

    dataset: tf.data.Dataset  # of one element, the first batch of one replica, in memory
    units: int  # that a step processes in which every replica has such a batch


class Task(abc.ABC):
    """Data, losses, metrics, evaluation and exports of one kind of problem.

    Attributes:
        recipe: what is trained and how; the loop reads `recipe.train`.
        seed: as in `Opening`.
        unit: what speed is counted in, singular: "example", "byte", "token".
        metric_names: what `losses` returns per example, and `loss`; names in `flags.metrics`.
        monitor: the metric by which the best checkpoint is chosen and plateaus are seen.
        carries_state: whether state passes from step to step (`trainers.loop.stateful`).
        is_closed_form: whether weights are computed by `solve` instead of being trained.
        no_xla: why its steps must not be compiled with XLA, after "the experiment's"; None: they may.
        validation_protocol: how it is evaluated during training.
        test_protocol: how it is evaluated when training has ended.
    """

    recipe: Experiment
    seed: int
    unit: str
    metric_names: tuple[str, ...]
    monitor: str
    carries_state = False
    is_closed_form = False
    no_xla: str | None = None
    validation_protocol: str
    test_protocol: str

    # Opening

    @classmethod
    def of(cls, recipe: Experiment) -> type[Task]:
        """The class that serves a recipe: a kind may have several."""
        return cls

    @classmethod
    @abc.abstractmethod
    def find_data(cls, name: str, data_dir: str | None) -> Source | GeneratedSource:
        """The data set that a recipe calls `data.name`, prepared or not.

        Raises:
            UserError: there is none, or it is of another kind.
        """

    @classmethod
    @abc.abstractmethod
    def check_replicas(cls, recipe: Experiment, replicas: int) -> None:
        """Raises UserError where the recipe's batches do not divide over so many replicas."""

    @classmethod
    @abc.abstractmethod
    def open(cls, recipe: Experiment, opening: Opening) -> Task:
        """The task of a recipe on its data."""

    @abc.abstractmethod
    def check_splits(self) -> None:
        """Raises UserError where a split of the recipe is missing, or has too few examples."""

    # Length of a run

    @property
    @abc.abstractmethod
    def length(self) -> RunLength:
        """How many steps the run has."""

    @abc.abstractmethod
    def units(self, first: int, steps: int) -> int:
        """How many units `steps` steps process, starting at step `first`."""

    # Training data

    @abc.abstractmethod
    def batches(self, first_step: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """The training batches of one input pipeline from `first_step` on, one per replica and step, without end."""

    @abc.abstractmethod
    def one_batch(self, replicas: int) -> OneBatch:
        """One replica's first batch."""

    def distributed_batches(
        self, strategy: tf.distribute.Strategy, first_step: int
    ) -> tf.distribute.DistributedDataset:
        """The `tf.distribute.DistributedDataset` of all replicas' training batches from `first_step` on."""
        return strategy.distribute_datasets_from_function(lambda context: self.batches(first_step, context))

    def write_inputs(self, board: TensorBoard) -> None:
        """Shows the first training inputs in TensorBoard; by default none."""
        return

    # Model, losses, metrics

    @abc.abstractmethod
    def build_model(self) -> keras.Model:
        """The network, freshly initialised."""

    @abc.abstractmethod
    def losses(self, network: Any, batch: Any, training: bool) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Losses [batch], whose sum over the global batch is divided by `train.global_batch`, and metrics [batch].

        Args:
            network: the model, or the `StatefulModel` around it where the task carries state.
            batch: one element of `batches`, or a part of one.
        """

    def solve(self, model: keras.Model) -> None:
        """Assigns the weights of a closed-form fit."""
        raise NotImplementedError(f"{type(self).__name__} trains by gradient descent")

    def derived(self, means: Mapping[str, float]) -> dict[str, float]:
        """Means of metrics, with what follows from means alone (perplexity of a mean loss)."""
        return dict(means)

    @property
    def result_names(self) -> tuple[str, ...]:
        """The metrics that are printed when a run ends."""
        return self.metric_names

    @property
    def summary(self) -> dict[str, Any]:
        """Further entries of results.json about the training data."""
        return {}

    def is_better(self, value: float, best: float) -> bool:
        """Whether a value of `monitor` is better than another."""
        return value > best if metrics.get(self.monitor).larger_is_better else value < best

    # Evaluation

    @abc.abstractmethod
    def evaluation(self, protocol: str, strategy: tf.distribute.Strategy, model: keras.Model) -> Evaluation:
        """The evaluation of a model by one of the task's protocols."""

    @classmethod
    def ensemble(cls, members: Sequence[tuple[Task, keras.Model]], strategy: tf.distribute.Strategy) -> Evaluation:
        """The evaluation of the mean of several models' class probabilities, on the first member's data."""
        raise UserError(f"--ensemble: {members[0][0].recipe.name} {tasks.get(members[0][0].recipe.task).does}.")

    # Output

    def assets(self) -> Mapping[str, bytes]:
        """Files, by name, that a run's folder keeps besides recipe and weights, because its inputs depend on them."""
        return {}

    @abc.abstractmethod
    def saved_model(self, model: keras.Model) -> SavedModel:
        """The SavedModel of a model on one device, in float32."""

    @abc.abstractmethod
    def describe(self, state: TrainState, replicas: int) -> Description:
        """What `--mode=describe` says of this kind beyond what it says of all."""

    def generate(self, run: Run, model: keras.Model, device: str) -> None:
        """`--mode=generate`: prints what a finished model makes of `--prompt`."""
        raise UserError(f"--mode=generate: {self.recipe.name} {tasks.get(self.recipe.task).does}.")

    @classmethod
    def predict(cls, recipe: Experiment, folder: RunFolder, files: Sequence[pathlib.Path]) -> None:
        """`--mode=predict`: prints what the SavedModel of a finished run says of files."""
        raise UserError(f"--mode=predict: {recipe.name} {tasks.get(recipe.task).does}.")

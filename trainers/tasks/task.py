"""The interface of tasks: everything that the rest of the program needs from one kind of problem.

A task is a folder beside this module plus one entry in each of two registries: `flags.tasks` describes it to the
command line, `trainers.tasks` names its class. Nothing outside that folder depends on the kind of task.
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
    """The arguments, besides the recipe, with which a task is opened.

    Attributes:
        source: the recipe's data set; prepared, unless `dry`.
        seed: seed of the order of training examples, and of all randomness in them.
        data_dir: the TFDS folder; None: the default.
        folder: the run to resume or read, whose assets (`Task.assets`) are reused; None: a new run.
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
    """A batch for benchmarks, repeated in every step."""

    dataset: tf.data.Dataset  # one element, the first batch of one replica, in memory
    units: int  # number of units per step if every replica has such a batch


class Task(abc.ABC):
    """Data, losses, metrics, evaluation and exports of one kind of problem.

    Attributes:
        recipe: the experiment; the loop reads `recipe.train`.
        seed: as in `Opening`.
        unit: unit of the speed, singular: "example", "byte", "token".
        metric_names: the metrics that `losses` returns per example, and `loss`; names in `flags.metrics`.
        monitor: the metric that selects the best checkpoint and detects plateaus.
        carries_state: whether state is carried from step to step (`trainers.loop.stateful`).
        is_closed_form: whether `solve` computes the weights instead of training.
        no_xla: why steps cannot be compiled with XLA, after "the experiment's"; None: they can.
        validation_protocol: evaluation protocol during training.
        test_protocol: evaluation protocol after training.
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
        """Returns the class for a recipe: a task may have several."""
        return cls

    @classmethod
    @abc.abstractmethod
    def find_data(cls, name: str, data_dir: str | None) -> Source | GeneratedSource:
        """Returns the data set `data.name` of a recipe, prepared or not.

        Raises:
            UserError: the data set does not exist, or does not fit the task.
        """

    @classmethod
    @abc.abstractmethod
    def check_replicas(cls, recipe: Experiment, replicas: int) -> None:
        """Raises UserError if the recipe's batches cannot be divided over `replicas` replicas."""

    @classmethod
    @abc.abstractmethod
    def open(cls, recipe: Experiment, opening: Opening) -> Task:
        """Opens the task of a recipe on its data."""

    @abc.abstractmethod
    def check_splits(self) -> None:
        """Raises UserError if a split of the recipe is missing or too small."""

    # Length of a run

    @property
    @abc.abstractmethod
    def length(self) -> RunLength:
        """The number of steps of the run."""

    @abc.abstractmethod
    def units(self, first: int, steps: int) -> int:
        """The number of units that `steps` steps process, starting at step `first`."""

    # Training data

    @abc.abstractmethod
    def batches(self, first_step: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """The infinite training batches of one input pipeline from `first_step` on, one per replica and step."""

    @abc.abstractmethod
    def one_batch(self, replicas: int) -> OneBatch:
        """One replica's first batch."""

    def distributed_batches(
        self, strategy: tf.distribute.Strategy, first_step: int
    ) -> tf.distribute.DistributedDataset:
        """The `tf.distribute.DistributedDataset` of all replicas' training batches from `first_step` on."""
        return strategy.distribute_datasets_from_function(lambda context: self.batches(first_step, context))

    def write_inputs(self, board: TensorBoard) -> None:
        """Writes the first training inputs to TensorBoard; by default nothing."""
        return

    # Model, losses, metrics

    @abc.abstractmethod
    def build_model(self) -> keras.Model:
        """The network, freshly initialised."""

    @abc.abstractmethod
    def losses(self, network: Any, batch: Any, training: bool) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Losses [batch], whose sum over the global batch is divided by `train.global_batch`, and metrics [batch].

        Args:
            network: the model, or the `StatefulModel` around it if the task carries state.
            batch: one element of `batches`, or a part of it.
        """

    def solve(self, model: keras.Model) -> None:
        """Assigns the weights of a closed-form fit."""
        raise NotImplementedError(f"{type(self).__name__} trains by gradient descent")

    def derived(self, means: Mapping[str, float]) -> dict[str, float]:
        """Adds metrics derived from means of metrics (such as perplexity from the mean loss)."""
        return dict(means)

    @property
    def result_names(self) -> tuple[str, ...]:
        """The metrics printed at the end of a run."""
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
        """Returns the evaluation of a model by one of the task's protocols."""

    @classmethod
    def ensemble(cls, members: Sequence[tuple[Task, keras.Model]], strategy: tf.distribute.Strategy) -> Evaluation:
        """Returns the evaluation of several models' mean class probabilities, on the first member's data."""
        raise UserError(f"--ensemble: {members[0][0].recipe.name} {tasks.get(members[0][0].recipe.task).does}.")

    # Output

    def assets(self) -> Mapping[str, bytes]:
        """Files, by name, on which the inputs depend, to save in the run directory besides recipe and weights."""
        return {}

    @abc.abstractmethod
    def saved_model(self, model: keras.Model) -> SavedModel:
        """Returns the SavedModel of a model on one device, in float32."""

    @abc.abstractmethod
    def describe(self, state: TrainState, replicas: int) -> Description:
        """Returns the task-specific part of `--mode=describe`."""

    def generate(self, run: Run, model: keras.Model, device: str) -> None:
        """`--mode=generate`: prints the output of a finished model for `--prompt`."""
        raise UserError(f"--mode=generate: {self.recipe.name} {tasks.get(self.recipe.task).does}.")

    @classmethod
    def predict(cls, recipe: Experiment, folder: RunFolder, files: Sequence[pathlib.Path]) -> None:
        """`--mode=predict`: prints the predictions of a finished run's SavedModel for files."""
        raise UserError(f"--mode=predict: {recipe.name} {tasks.get(recipe.task).does}.")

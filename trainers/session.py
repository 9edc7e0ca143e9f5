"""The session behind every mode: a run's recipe bound to data and devices, and the objects that train it."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any

import keras
import tensorflow as tf

from flags.errors import UserError
from flags.recipe import Experiment
from flags.run import Run
from trainers.data.sources import DataNotPrepared, GeneratedSource, Source, data_folder
from trainers.loop.state import TrainState
from trainers.loop.stateful import StatefulModel
from trainers.loop.training import TrainLoop
from trainers.optimizers import build_optimizer, build_schedule
from trainers.optimizers.loss_scale import LossScale
from trainers.optimizers.schedules import Schedule
from trainers.optimizers.weight_average import WeightAverage
from trainers.run import strategy as strategies
from trainers.run.folder import RunFolder
from trainers.run.layers import freeze
from trainers.run.load import load_finished, load_imported
from trainers.tasks import task_class
from trainers.tasks.task import Opening, Task

SAMPLE_BANNER = """\
========================================================================================================
  {paper} is not prepared in {folder}:
  this run uses the embedded sample ({sample}) and the recipe's `sample` variant.
  Its numbers are not the paper's. For the full data: --mode=prepare, then --data=paper (see BUILD.md).
========================================================================================================"""


@dataclasses.dataclass(frozen=True)
class Session:
    """A run's recipe bound to a data set and to devices."""

    run: Run
    variant: str  # of the recipe: "paper", "sample" or "synthetic"
    recipe: Experiment
    source: Source | GeneratedSource
    task: Task
    strategy: tf.distribute.Strategy
    precision: str
    jit_compile: bool

    @property
    def replicas(self) -> int:
        return self.strategy.num_replicas_in_sync

    @property
    def is_chief(self) -> bool:
        return strategies.is_chief(self.strategy)

    @property
    def init_from(self) -> str | None:
        """The file of external weights."""
        return self.recipe.init.path

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.run.folder_for(self.variant))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings besides the recipe that affect a run's numbers; a run directory allows one value of each."""
        return {
            "data": self.variant,
            "overrides": list(self.run.overrides),
            "seed": self.run.seed,
            "precision": self.precision,
            "init_from": self.init_from,
        }

    def load_model(self) -> keras.Model:
        """Loads the model of the finished run, or builds the network and loads the weights of `--init_from`.

        Raises:
            UserError: the file does not exist or cannot be read.
        """
        if self.init_from is None:
            return load_finished(self.recipe.name, self.folder, self.strategy)
        with self.strategy.scope():
            model = self.task.build_model()
        return load_imported(model, self.init_from, mode=self.run.mode, quiet=self.run.quiet or not self.is_chief)

    def build_schedule(self) -> Schedule:
        length = self.task.length
        return build_schedule(
            self.recipe.rate,
            global_batch=self.recipe.train.global_batch,
            steps_per_epoch=length.per_epoch,
            total_steps=length.total,
            second_pass_step=length.first_pass,
        )

    def build_state(self) -> TrainState:
        """Builds model, optimizer and weight average in the strategy's scope."""
        recipe, ema_decay = self.recipe, self.recipe.train.ema_decay
        with self.strategy.scope():
            model = self.task.build_model()
            if self.task.is_closed_form:
                solved = tf.Variable(0, trainable=False, dtype=tf.int64, name="solved")
                return TrainState(model=model, optimizer=None, schedule=None, solved=solved)
            freeze(model, recipe.init)
            schedule = self.build_schedule()
            optimizer = build_optimizer(recipe.optimizer, schedule, restart=self.task.length.first_pass)
            optimizer.build(model.trainable_variables)
            averaged = [*model.trainable_weights, *model.non_trainable_weights]
            stateful = self.task.carries_state
            return TrainState(
                model=model,
                optimizer=optimizer,
                schedule=schedule,
                average=WeightAverage(averaged, ema_decay) if ema_decay else None,
                loss_scale=LossScale() if self.precision == "mixed_float16" else None,
                stateful=StatefulModel(self.strategy, model, recipe.train.global_batch) if stateful else None,
            )

    def build_loop(self, state: TrainState) -> TrainLoop:
        return TrainLoop(
            strategy=self.strategy,
            task=self.task,
            state=state,
            recipe=self.recipe.train,
            weight_decay=self.recipe.optimizer.l2,
            decayed=self.recipe.optimizer.decayed,
            seed=self.run.seed,
            jit_compile=self.jit_compile,
            measure_waiting=not self.run.deterministic,
        )


def open_session(run: Run, *, dry: bool = False, strategy: tf.distribute.Strategy | None = None) -> Session:
    """Binds a run to its data and devices.

    Args:
        dry: the data set may be missing; `--data=auto` means the paper's.
        strategy: the strategy of another session in this process; devices can be configured only once.

    Raises:
        UserError: the data set or a device is missing, or the batch cannot be divided over the replicas.
    """
    if strategy is None:
        strategies.configure(devices=run.devices, seed=run.seed, deterministic=run.deterministic)
        # Must come first: a cluster worker can only be set up before any other operation.
        strategy = strategies.make_strategy(run.strategy, cluster=run.cluster, devices=run.devices)
    quiet = run.quiet or not strategies.is_chief(strategy)
    if dry:
        variant = "paper" if run.data == "auto" else run.data
        source = find_source(run, variant)
    else:
        variant, source = choose_data(run, quiet=not strategies.is_chief(strategy))
    recipe = run.recipe_for(variant)
    kind = task_class(recipe)
    kind.check_replicas(recipe, strategy.num_replicas_in_sync)
    if not dry or source.is_embedded:
        source.ensure_prepared(run.download)
    task = kind.open(
        recipe,
        Opening(
            source=source,
            seed=run.seed,
            data_dir=run.data_dir,
            folder=None if dry else _run_to_read(run, variant),
            dry=dry,
            only_speed=run.mode == "benchmark",
            quiet=quiet,
        ),
    )
    if not dry:
        task.check_splits()
    return Session(
        run=run,
        variant=variant,
        recipe=recipe,
        source=source,
        task=task,
        strategy=strategy,
        precision=strategies.set_precision(run.precision, strategy),
        jit_compile=_jit_compile(run, task, strategy),
    )


def choose_data(run: Run, *, quiet: bool = False) -> tuple[str, Source | GeneratedSource]:
    """Returns the variant selected by `--data`, and its data set.

    "auto" selects the paper's data set if it is prepared, else the sample, and prints a banner.

    Raises:
        UserError: the data set is not in the TFDS folder that the user named. Falling back to the sample would
            silently waste a long run.
    """
    if run.data != "auto":
        return run.data, find_source(run, run.data)
    paper = find_source(run, "paper")
    if paper.is_prepared or run.download:
        return "paper", paper
    if run.data_dir or os.environ.get("TFDS_DATA_DIR"):
        raise DataNotPrepared(paper)
    sample = find_source(run, "sample")
    if not quiet:
        folder = data_folder(run.data_dir)
        print(SAMPLE_BANNER.format(paper=paper.name, folder=folder, sample=sample.name), file=sys.stderr)
    return "sample", sample


def find_source(run: Run, variant: str) -> Source | GeneratedSource:
    recipe = run.recipe_for(variant)
    return task_class(recipe).find_data(recipe.data.name, run.data_dir)


def _run_to_read(run: Run, variant: str) -> RunFolder | None:
    """The folder of the run to resume or read; None if it does not exist or only external weights are used."""
    folder = RunFolder(run.folder_for(variant))
    if run.mode == "benchmark" or (run.init_from and run.mode != "train"):
        return None
    return folder if folder.config.exists() else None


def _jit_compile(run: Run, task: Task, strategy: tf.distribute.Strategy) -> bool:
    """Whether XLA compiles a step; never if the task rules it out (`no_xla`).

    Raises:
        UserError: --jit_compile=on for such a task.
    """
    if task.no_xla is None:
        return strategies.jit_compile(run.jit_compile, strategy)
    if run.jit_compile == "on":
        raise UserError(f"--jit_compile=on: {task.recipe.name}'s {task.no_xla}. Remove --jit_compile.")
    return False

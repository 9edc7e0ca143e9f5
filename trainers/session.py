"""What every mode starts with: which data, which devices, in what precision, and the task on them."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from flags.data import Images, LinearData, Sentences, Text
from flags.errors import UserError
from flags.recipe import Experiment
from flags.run import Run
from trainers.data import sources, synthetic
from trainers.loop.windows import Steps
from trainers.optimizers.no_schedule import NoSchedule
from trainers.optimizers.schedules import Schedule, build_schedule
from trainers.run import strategy as strategies
from trainers.run.folder import RunFolder
from trainers.tasks import build_task
from trainers.tasks.images import mean_image
from trainers.tasks.regression import data as linear_data
from trainers.tasks.task import Task
from trainers.tasks.text import data as text
from trainers.tasks.translation import data as translation

SAMPLE_BANNER = """\
========================================================================================================
  {paper} is not prepared in {folder}:
  this run uses the embedded sample ({sample}) and the recipe's `sample` variant.
  Its numbers are not the paper's. For the real thing: --mode=prepare, then --data=paper (see BUILD.md).
========================================================================================================"""


@dataclasses.dataclass(frozen=True)
class Session:
    """A run's recipe bound to a data set and to devices."""

    run: Run
    data: str  # "paper", "sample" or "synthetic": which variant of the recipe this is
    recipe: Experiment
    dataset: sources.DataSet | synthetic.SyntheticDataSet | text.TextDataSet | translation.TranslationDataSet
    mean_image: np.ndarray | None  # what is subtracted from every input: [resolution, resolution, 3], float32
    strategy: tf.distribute.Strategy
    precision: str
    jit_compile: bool
    task: Task

    @property
    def steps(self) -> Steps:
        return self.task.steps

    @property
    def total_steps(self) -> int:
        return self.steps.total

    @property
    def examples_at_once(self) -> int:
        """How many examples a device sees at once; batch norm averages over them."""
        replicas = self.strategy.num_replicas_in_sync
        return self.recipe.train.global_batch // replicas // self.recipe.train.micro_batches_of(replicas)

    def build_schedule(self) -> Schedule:
        if self.recipe.schedule is None:
            return NoSchedule()
        return build_schedule(
            self.recipe.rate,
            global_batch=self.recipe.train.global_batch,
            steps_per_epoch=self.steps.per_epoch,
            second_pass_step=self.steps.first_pass,
        )

    @property
    def is_chief(self) -> bool:
        return strategies.is_chief(self.strategy)

    @property
    def settings(self) -> dict:
        """Besides the recipe, what a run's numbers depend on; a folder holds one of each."""
        return {
            "data": self.data,
            "overrides": list(self.run.overrides),
            "seed": self.run.seed,
            "precision": self.precision,
            "init_from": self.run.init_from,
        }

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.run.folder_for(self.data))


def open_session(run: Run, *, dry: bool = False, strategy: tf.distribute.Strategy | None = None) -> Session:
    """Binds a run to its data and devices; a `dry` one needs no data and takes the paper's recipe for `--data=auto`.

    Args:
        strategy: that of another session of this process; devices can be set up only once.

    Raises:
        UserError: the data set or a device is not there, or the batch does not divide over the replicas.
    """
    if strategy is None:
        strategies.configure(devices=run.devices, seed=run.seed, deterministic=run.deterministic)
        # Before anything else runs: a worker of a cluster can be set up only then.
        strategy = strategies.make_strategy(run.strategy, cluster=run.cluster, devices=run.devices)
    if dry:
        data = "paper" if run.data == "auto" else run.data
    else:
        data = choose_data(run, quiet=not strategies.is_chief(strategy))
    recipe = run.recipe_for(data)
    dataset = open_data(run, recipe, dry=dry)
    task = build_task(recipe, dataset, seed=run.seed, kept=None if dry else kept_folder(run, data), is_dry=dry)
    task.check_batches(strategy.num_replicas_in_sync)
    if not dry:
        task.check_splits()
    mean = choose_mean_image(run, recipe, dataset, data, dry=dry, quiet=run.quiet or not strategies.is_chief(strategy))
    if mean is not None:
        task = build_task(recipe, dataset, seed=run.seed, mean_image=mean)
    return Session(
        run=run,
        data=data,
        recipe=recipe,
        dataset=dataset,
        mean_image=mean,
        strategy=strategy,
        precision=strategies.set_precision(run.precision, strategy),
        jit_compile=choose_jit_compile(run, task, strategy),
        task=task,
    )


def choose_data(run: Run, *, quiet: bool = False) -> str:
    """Which data `--data=auto` means: the paper's if it is prepared, else the sample, with a banner that says so.

    Raises:
        UserError: the user named a folder and the data set is not in it; nobody burns a night on a toy.
    """
    if run.data != "auto":
        return run.data
    name = run.recipe_for("paper").data.name
    if name == linear_data.NAME or sources.is_prepared(name, run.data_dir) or run.download:
        return "paper"
    named = run.data_dir or os.environ.get("TFDS_DATA_DIR")
    if named:
        raise sources.DataNotPrepared(name, run.data_dir)
    if not quiet:
        sample = run.recipe_for("sample").data.name
        print(
            SAMPLE_BANNER.format(paper=name, folder=sources.data_folder(run.data_dir), sample=sample), file=sys.stderr
        )
    return "sample"


@dataclasses.dataclass(frozen=True)
class Kind:
    """How data sets of one kind are opened: prepared, as they are declared, and made up, which have these names."""

    prepared: Callable
    declared: Callable
    made_up: Callable
    names: tuple[str, ...]


KINDS = {
    Images: Kind(sources.open_dataset, sources.declared, synthetic.open_synthetic, synthetic.NAMES),
    Text: Kind(text.open_text, text.declared_text, lambda _, seed: text.open_synthetic(seed=seed), (text.SYNTHETIC,)),
    Sentences: Kind(
        translation.open_translation,
        translation.declared_translation,
        lambda _, seed: translation.open_synthetic(seed=seed),
        (translation.SYNTHETIC,),
    ),
}
IN_MEMORY = (linear_data.NAME, *(name for kind in KINDS.values() for name in kind.names))


def open_data(run: Run, recipe: Experiment, *, dry: bool):
    """The data set of a recipe; downloaded and prepared first if the user allowed that."""
    name = recipe.data.name
    if isinstance(recipe.data, LinearData):
        return linear_data.LinearDataSet(recipe.data, seed=run.seed)
    kind = next(kind for group, kind in KINDS.items() if isinstance(recipe.data, group))
    if name in kind.names:
        return kind.made_up(name, seed=run.seed)
    if dry and not sources.is_prepared(name, run.data_dir) and name not in sources.SAMPLES:
        return kind.declared(name, run.data_dir)
    return kind.prepared(name, run.data_dir, run.download)


def kept_folder(run: Run, data: str) -> RunFolder | None:
    """The folder of the run that is gone on with, or looked at; None where there is none, or weights come with it."""
    folder = RunFolder(run.folder_for(data))
    return folder if folder.config.exists() and run.mode != "benchmark" and not run.init_from else None


def choose_jit_compile(run: Run, task: Task, strategy: tf.distribute.Strategy) -> bool:
    """Whether XLA compiles a step: never one of a task that speaks against it.

    Raises:
        UserError: the user asks for it there.
    """
    if task.no_xla is None:
        return strategies.jit_compile(run.jit_compile, strategy)
    if run.jit_compile == "on":
        raise UserError(f"--jit_compile=on: {task.recipe.name}'s {task.no_xla}. Leave --jit_compile out.")
    return False


def choose_mean_image(run: Run, recipe: Experiment, dataset, data: str, *, dry: bool, quiet: bool) -> np.ndarray | None:
    """The mean image that the run in the folder began with; that of the training split where none has begun.

    Raises:
        UserError: the one in the folder is damaged, or of another resolution.
    """
    if recipe.task != "classification" or not recipe.data.mean_image:
        return None
    resolution = recipe.model.resolution
    if dry or run.mode == "benchmark":  # where no result depends on it, it is not worth a pass over the data
        return np.zeros([resolution, resolution, 3], np.float32)
    folder = RunFolder(run.folder_for(data))
    if folder.config.exists() and folder.mean_image.exists():
        return mean_image.read(folder.mean_image, resolution)
    return mean_image.training_mean(dataset, recipe.data, resolution, data_dir=run.data_dir, quiet=quiet)

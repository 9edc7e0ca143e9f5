"""What an experiment is made of: frozen dataclasses whose fields are the rows of a paper's table.

Everything that changes a result stands here; everything that does not (folders, devices, logging to the
screen) is a flag (`flags/run.py`). A paper's module (`flags/papers/`) fills these in, and `--set=path=value` replaces
any field. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from flags import tasks
from flags.data import Data
from flags.errors import require
from flags.optimization import Optimizer
from flags.ranges import Group
from flags.schedules import Schedule, WarmUpInverseSquareRoot
from flags.sweep import Sweep
from flags.training import Train


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paper:
    """Where an experiment comes from and the numbers printed there.

    Accuracies are fractions in 0..1, `bpc` is in bits per byte. `numbers` is empty where the paper has none.
    """

    citation: str
    row: str  # "Table 2, EfficientNet-B0"
    numbers: Mapping[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model(Group):
    """A network of `tf_models`. A subclass adds the options that its builder takes, under the same names."""

    group: ClassVar[str] = "model"

    name: str  # one of tf_models.list_models()

    def options(self) -> dict[str, Any]:
        """The keyword arguments of `tf_models.build_model`, without those that the data set decides."""
        names = [field.name for field in dataclasses.fields(self) if field.name not in ("name", "resolution")]
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Init(Group):
    """What weights a run starts from.

    `skip` and `frozen` are names of layers, or patterns such as `stage1_*`: layers that keep their own initial weights,
    and layers that are not trained.
    """

    group: ClassVar[str] = "init"

    path: str | None = None  # a weight file; none: random weights. --init_from is short for it
    skip: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.path is not None or not self.skip,
            f"init.skip={','.join(self.skip)}: there are no weights to skip layers of. Give init.path.",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """One row of a paper's table, complete.

    `deviations` lists where the recipe leaves the paper or its code, why, and what that should change. `sample` holds
    the fields (by path) that change when the experiment runs on the embedded sample, and `sample_deviations` says why;
    `synthetic` does the same for `--data=synthetic`. `flags.catalog.variant` applies them. `sweep` holds the trials of
    the figure that the experiment is one point of, `sample_sweep` those on the embedded sample.
    """

    name: str
    summary: str
    task: str  # a name in `flags.tasks`
    paper: Paper
    model: Model
    data: Data
    optimizer: Optimizer
    schedule: Schedule | None  # none: nothing is trained step by step
    train: Train
    init: Init = Init()
    deviations: tuple[str, ...] = ()
    sample: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sample_deviations: tuple[str, ...] = ()
    synthetic: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sweep: Sweep | None = None
    sample_sweep: Sweep | None = None

    def __post_init__(self) -> None:
        require(
            (self.schedule is None) == tasks.get(self.task).is_closed_form,
            f"schedule: {self.name} {'takes no steps and has none' if self.schedule else 'needs one'}",
        )
        for group in (self.train, self.data, self.optimizer, *([self.schedule] if self.schedule else [])):
            group.check(self)

    @property
    def rate(self) -> Schedule | None:
        """The schedule, with the rate that follows from the model's width where it names none."""
        if isinstance(self.schedule, WarmUpInverseSquareRoot):
            return self.schedule.of_width(getattr(self.model, "d_model", 1))
        return self.schedule

"""The parts of an experiment: frozen dataclasses that hold everything a result depends on.

Settings that do not change a result (folders, devices, logging) are flags instead (`flags/run.py`). A paper's module
(`flags/papers/`) fills in the fields, and `--set=path=value` replaces any of them. Nothing here imports TensorFlow.
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
from flags.schedules import Schedule
from flags.sweep import Sweep
from flags.training import Train


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paper:
    """The source of an experiment and the numbers it reports.

    Accuracies are fractions in 0..1, `bpc` is in bits per byte. `numbers` is empty if the paper reports none.
    """

    citation: str
    row: str  # "Table 2, EfficientNet-B0"
    numbers: Mapping[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model(Group):
    """A network of `tf_models`. Subclasses add the options of its builder, under the same names."""

    group: ClassVar[str] = "model"

    name: str  # one of tf_models.list_models()

    def options(self) -> dict[str, Any]:
        """The keyword arguments of `tf_models.build_model`, except those that depend on the data set."""
        names = [field.name for field in dataclasses.fields(self) if field.name not in ("name", "resolution")]
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Init(Group):
    """The weights a run starts from.

    `skip` and `frozen` are layer names or patterns such as `stage1_*`: layers that keep their random initial weights,
    and layers that are not trained.
    """

    group: ClassVar[str] = "init"

    path: str | None = None  # a weight file (also set by --init_from); none: random weights
    skip: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.path is not None or not self.skip,
            f"init.skip={','.join(self.skip)}: init.skip needs weights to load. Set init.path.",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """The complete recipe for one row of a paper's table.

    `deviations` lists where the recipe departs from the paper or its code, why, and the expected effect. `sample` maps
    field paths to the values used on the embedded sample, and `sample_deviations` explains them; `synthetic` does the
    same for `--data=synthetic`. `flags.catalog.variant` applies them. `sweep` holds the trials of the figure to which
    the experiment belongs, `sample_sweep` those on the embedded sample.
    """

    name: str
    summary: str
    task: str  # a name in `flags.tasks`
    paper: Paper
    model: Model
    data: Data
    optimizer: Optimizer
    schedule: Schedule | None  # none: solved in closed form
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
        """The schedule, with the rate derived from the model's width if it gives none."""
        return None if self.schedule is None else self.schedule.of_model(self.model)

"""The papers' learning rate schedules. `--set=schedule=NAME` selects one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar, Literal

from flags import tasks
from flags.errors import require
from flags.ranges import Count, Factor, Group, NotNegative, Positive, Rate, Share

if TYPE_CHECKING:
    from flags.recipe import Experiment, Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule(Group):
    """A learning rate over the steps of a run."""

    group: ClassVar[str] = "schedule"
    kind: ClassVar[str]  # the name in `--set=schedule=NAME`

    def peak(self, experiment: Experiment) -> float:
        """The largest rate. When --set changes the kind of schedule, it becomes the new `lr`."""
        return self.lr

    def of_model(self, model: Model) -> Schedule:
        """The schedule with every rate that follows from the model's size filled in."""
        return self

    def check(self, experiment: Experiment) -> None:
        """Raises UserError if the schedule does not fit the rest of the recipe."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """A constant rate."""

    kind: ClassVar[str] = "constant"

    lr: Positive


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """Half a cosine from `lr` to `final_factor` * lr at the run's last step (Loshchilov & Hutter 2017, equation 5).

    It follows a linear warm-up: update s, counted from 1, has lr * s / warmup_steps.
    """

    kind: ClassVar[str] = "cosine"

    lr: Positive
    warmup_steps: Count = 1  # 1: none
    final_factor: Share = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exponential(Schedule):
    """lr = lr_per_256 * global_batch / 256 * decay_rate ** (epoch / decay_epochs), linear warm-up from 0.

    `epoch` is step / `Train.steps_per_epoch`, a real number. With `staircase` the exponent is rounded down. The decay
    counts from step 0, not from the end of the warm-up, which lasts int(warmup_epochs * steps_per_epoch) steps.
    Defaults are those of EfficientNet (Tan & Le 2019, section 5.2, and the authors' code).
    """

    kind: ClassVar[str] = "exponential"

    lr_per_256: Positive = 0.016
    decay_rate: Rate = 0.97
    decay_epochs: Positive = 2.4
    warmup_epochs: NotNegative = 5.0
    staircase: bool = True

    def peak(self, experiment: Experiment) -> float:
        return self.lr_per_256 * experiment.train.global_batch / 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stepwise(Schedule):
    """A piecewise constant rate, multiplied by `factor` at each drop.

    Drops happen after the numbers of updates in `boundaries`. With `drops` "plateau" there are as many drops as
    boundaries, each after `patience` consecutive evaluations that did not improve the validation top-1 by
    `min_improvement` (a fraction). With `warmup_lr` the run starts at that rate and keeps it until the training error
    over 100 updates is below `warmup_error`. The rate does not scale with the batch size.
    """

    kind: ClassVar[str] = "stepwise"

    lr: Positive
    boundaries: tuple[int, ...] = ()
    factor: Factor = 0.1
    drops: Literal["boundaries", "plateau"] = "boundaries"
    patience: Count = 5
    min_improvement: NotNegative = 0.001
    warmup_lr: Positive | None = None
    warmup_error: Rate = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            list(self.boundaries) == sorted({b for b in self.boundaries if b > 0}),
            f"schedule.boundaries={self.boundaries}: must be numbers of updates, each larger than the one before",
        )

    def check(self, experiment: Experiment) -> None:
        watches = self.drops == "plateau" or self.warmup_lr is not None
        require(
            not watches or tasks.get(experiment.task).headline == "top1",
            "schedule.drops=plateau and schedule.warmup_lr monitor top-1 accuracy, which this task does "
            "not have. Set schedule.drops=boundaries and schedule.warmup_lr=none.",
        )
        validation = experiment.data.validation_split
        require(
            self.drops != "plateau" or validation is not None,
            f"schedule.drops=plateau monitors data.validation_split={validation}: it must be given",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmUp(Schedule):
    """A constant rate after a linear warm-up: update s, counted from 1, has lr * min(s, warmup_steps) / warmup_steps.

    With `cooldown_steps` c, clip((s - c) / c, 0, 1) is subtracted from the factor of `lr`.
    The last `second_pass_epochs` of `Train.epochs` restart from the best weights so far, with a new optimizer state,
    at second_pass_factor * lr, and with s counted from 1 again.
    """

    kind: ClassVar[str] = "warm_up"

    lr: Positive
    warmup_steps: Count = 1  # 1: none
    cooldown_steps: Count | None = None
    second_pass_epochs: NotNegative = 0.0
    second_pass_factor: Positive = 0.5

    def check(self, experiment: Experiment) -> None:
        epochs, none, train = self.second_pass_epochs, "schedule.second_pass_epochs=0", experiment.train
        if not epochs:
            return
        given = f"schedule.second_pass_epochs={epochs}"
        require(
            hasattr(experiment.data, "second_pass_length_seed"),
            f"{given}: only language models support a second pass. Set {none}.",
        )
        require(
            train.epochs is not None,
            f"{given}: these are the last of train.epochs, but train.steps={train.steps} is given. "
            f"Set {none}, or train.epochs instead of train.steps.",
        )
        require(
            epochs < train.epochs,
            f"{given}: must be fewer than train.epochs={train.epochs}, of which they are the last. "
            f"Set {none}, or more train.epochs.",
        )
        require(
            experiment.data.holds_out,
            f"{given}: the second pass starts from the best weights on "
            f"data.validation_split={experiment.data.validation_split}, "
            f"which must be given and differ from the test split. Set it, or {none}.",
        )
        require(
            experiment.data.second_pass_length_seed is not None,
            f"{given}: the second pass needs its own segment seed. Set data.second_pass_length_seed, such as 125, "
            f"or {none}.",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class InverseSquareRoot(Schedule):
    """lr(t) = lr / sqrt(1 + floor(t / period)), t = updates so far (Deep Double Descent, appendix)."""

    kind: ClassVar[str] = "inverse_square_root"

    lr: Positive
    period: Count = 512  # in updates


@dataclasses.dataclass(frozen=True, kw_only=True)
class DynamicDrop(Schedule):
    """A rate that is multiplied by `factor` each time the training loss has not improved for `patience` updates.

    The loss is averaged over `window` updates, because a single batch may have the lowest loss by chance.
    """

    kind: ClassVar[str] = "dynamic_drop"

    lr: Positive
    factor: Factor = 0.1
    patience: int = 4096
    window: Count = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.patience >= self.window,
            f"schedule.patience={self.patience}: must be at least schedule.window={self.window} updates",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmUpInverseSquareRoot(Schedule):
    """Update s, counted from 1, has lr * min(s / w, sqrt(w / s)), w = warmup_steps (Vaswani et al. 2017, 5.3).

    The default warm-up is that of the source.
    """

    kind: ClassVar[str] = "warm_up_inverse_square_root"

    lr: Positive | None = None  # peak, at the end of the warm-up; none: 1 / sqrt(model.d_model * w), as in the source
    warmup_steps: Count = 4000

    def of_model(self, model: Model) -> WarmUpInverseSquareRoot:
        """Replaces lr=none by the source's rate for the model's width: d_model^-0.5 min(s^-0.5, s w^-1.5)."""
        if self.lr is not None:
            return self
        return dataclasses.replace(self, lr=(getattr(model, "d_model", 1) * self.warmup_steps) ** -0.5)

    def peak(self, experiment: Experiment) -> float:
        return self.of_model(experiment.model).lr

    def check(self, experiment: Experiment) -> None:
        require(
            self.lr is not None or hasattr(experiment.model, "d_model"),
            "schedule.lr=none: the rate depends on model.d_model, which this model lacks. Give a number.",
        )


SCHEDULES = {
    kind.kind: kind
    for kind in (
        Constant,
        Cosine,
        Exponential,
        Stepwise,
        WarmUp,
        InverseSquareRoot,
        DynamicDrop,
        WarmUpInverseSquareRoot,
    )
}

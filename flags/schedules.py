"""The learning rate schedules of the papers, by the names that `--set=schedule=NAME` takes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar, Literal

from flags import tasks
from flags.errors import require
from flags.ranges import Count, Factor, Group, NotNegative, Positive, Rate, Share

if TYPE_CHECKING:
    from flags.recipe import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule(Group):
    """A learning rate over the steps of a run."""

    group: ClassVar[str] = "schedule"
    kind: ClassVar[str]  # the name that `--set=schedule=` takes

    def peak(self, experiment: Experiment) -> float:
        """The largest rate: what another kind of schedule takes over as its `lr`."""
        return self.lr

    def check(self, experiment: Experiment) -> None:
        """Raises UserError where the schedule does not go with the rest of the recipe."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """One rate throughout."""

    kind: ClassVar[str] = "constant"

    lr: Positive


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """Half a cosine from `lr` to `final_factor` * lr at the run's last step (Loshchilov & Hutter 2017, equation 5).

    Before it a linear warm-up: update s, counted from 1, has lr * s / warmup_steps.
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
    """A constant rate that is multiplied by `factor` a few times.

    That happens after as many updates as `boundaries` say; or, with `drops` "plateau", as often as there are
    boundaries, each time that `patience` evaluations in a row have not brought the validation top-1 up by
    `min_improvement` (a fraction). With `warmup_lr` the run begins at that rate instead and stays there until the
    training error of 100 updates is below `warmup_error`. The rate does not follow the batch.
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
            "schedule.drops=plateau and schedule.warmup_lr watch the top-1 of images, which there is "
            "not here. Set schedule.drops=boundaries and schedule.warmup_lr=none.",
        )
        validation = experiment.data.validation_split
        require(
            self.drops != "plateau" or validation is not None,
            f"schedule.drops=plateau watches data.validation_split={validation}: it must be given",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmUp(Schedule):
    """A constant rate after a linear warm-up: update s, counted from 1, has lr * min(s, warmup_steps) / warmup_steps.

    With `cooldown_steps` c the factor of `lr` is less by clip((s - c) / c, 0, 1).
    The last `second_pass_epochs` of `Train.epochs` begin again from the best weights so far, with a new optimizer
    state, at second_pass_factor * lr, and with s counted anew.
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
            f"{given}: only the segments of a text can be passed over a second time. Set {none}.",
        )
        require(
            train.epochs is not None,
            f"{given}: they are the last of train.epochs, but train.steps={train.steps} is given. "
            f"Set {none}, or train.epochs in place of train.steps.",
        )
        require(
            epochs < train.epochs,
            f"{given}: they are the last of train.epochs={train.epochs}, and must be fewer. "
            f"Set {none}, or more train.epochs.",
        )
        require(
            experiment.data.holds_out,
            f"{given}: they begin from the best weights by data.validation_split={experiment.data.validation_split}, "
            f"which must be given, and not be the test split. Set it, or {none}.",
        )
        require(
            experiment.data.second_pass_length_seed is not None,
            f"{given}: their segments have a seed of their own. Set data.second_pass_length_seed, such as 125, "
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

    The losses that are compared are means over `window` updates: a single batch's may be the lowest by chance.
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
            f"schedule.patience={self.patience}: must be schedule.window={self.window} updates or more",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmUpInverseSquareRoot(Schedule):
    """Update s, counted from 1, has lr * min(s / w, sqrt(w / s)), w = warmup_steps (Vaswani et al. 2017, 5.3).

    The default warm-up is theirs.
    """

    kind: ClassVar[str] = "warm_up_inverse_square_root"

    lr: Positive | None = None  # the largest, at the end of the warm-up; none: 1 / sqrt(model.d_model * w), theirs
    warmup_steps: Count = 4000

    def of_width(self, d_model: int) -> WarmUpInverseSquareRoot:
        """The same with the source's rate for that width in place of none: d_model^-0.5 min(s^-0.5, s w^-1.5)."""
        return dataclasses.replace(self, lr=(d_model * self.warmup_steps) ** -0.5) if self.lr is None else self

    def peak(self, experiment: Experiment) -> float:
        return self.of_width(getattr(experiment.model, "d_model", 1)).lr

    def check(self, experiment: Experiment) -> None:
        require(
            self.lr is not None or hasattr(experiment.model, "d_model"),
            "schedule.lr=none: the rate follows model.d_model, which this model has not. Give a number.",
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

"""How long an experiment trains, how much at once, and how often it reports, evaluates and saves."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar, Literal

from flags.errors import require
from flags.ranges import BelowOne, Count, Group, Positive

if TYPE_CHECKING:
    from flags.recipe import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Group):
    """What every kind of problem has. `*_every` count steps.

    `global_batch` counts examples, the lanes of a text, or the subwords that pairs of sentences take. Exactly one of
    `epochs` and `steps` is given. `ema_decay` 0 keeps no weight average; its effective value at step t is
    min(ema_decay, (1 + t) / (10 + t)). With `evals_per_decade` n there are evaluations after 10^(i / n) updates, i = 0,
    1, ..., rounded, in place of every `eval_every`.

    Class variables are what only some kinds have: they declare them as fields.

    Attributes:
        label_smoothing: s in the targets (1 - s) * onehot + s / classes.
        micro_batches: splits what a replica sees in a step into that many passes whose gradients add up.
        batch_norm_batch: makes them more, so that batch norm never averages over more examples than that: what a
            replica of the paper's machine saw.
        exact_bn_statistics: the moving statistics of batch norm are replaced, when training ends, by averages over one
            epoch of training batches.
        measure_fit: every evaluation, and that at the end, also takes in the training examples, not augmented and in
            inference mode.
    """

    group: ClassVar[str] = "train"

    global_batch: Count
    epochs: Positive | None = None
    steps: Count | None = None
    ema_decay: BelowOne = 0.0
    clip_norm: Positive | None = None  # of the whole gradient, after the sum over replicas
    log_every: Count = 100
    eval_every: Count
    checkpoint_every: Count
    evals_per_decade: Count | None = None
    keep_checkpoints: Count = 3
    select: Literal["best", "last"] = "last"  # which checkpoint is tested and exported; best on data.validation_split

    label_smoothing: ClassVar[float] = 0.0
    micro_batches: ClassVar[int] = 1
    batch_norm_batch: ClassVar[int | None] = None
    exact_bn_statistics: ClassVar[bool] = False
    measure_fit: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            (self.epochs is None) != (self.steps is None),
            f"train.epochs={self.epochs}, train.steps={self.steps}: give exactly one of them (set the other to none)",
        )

    def check(self, experiment: Experiment) -> None:
        """Raises UserError where these fields do not go with others of the recipe."""
        require(
            self.select == "last" or experiment.data.holds_out,
            f"train.select=best selects by data.validation_split={experiment.data.validation_split}: it must be given, "
            "and not be the test split",
        )

    def micro_batches_of(self, replicas: int) -> int:
        """Into how many equal parts each of so many replicas cuts its share of a step."""
        share = self.global_batch // replicas
        most = min(share // self.micro_batches, self.batch_norm_batch or share)
        return next(parts for parts in range(1, share + 1) if share % parts == 0 and share // parts <= most)

    def steps_per_epoch(self, examples_per_epoch: int) -> float:
        """Fractional, as in EfficientNet's official code: 1,281,167 images at batch 4096 are 312.8 steps."""
        return examples_per_epoch / self.global_batch

    def total_steps(self, examples_per_epoch: int) -> int:
        """Optimizer updates of the whole run; a last step that would go beyond `epochs` is left out."""
        if self.steps is not None:
            return self.steps
        # Rounded first: 0.29 epochs of 100 steps are 28.999999999999996 in floating point.
        return max(1, int(round(self.epochs * self.steps_per_epoch(examples_per_epoch), 6)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamedTrain(Train):
    """Training on examples that are read as they are needed."""

    label_smoothing: BelowOne = 0.0
    micro_batches: Count = 1
    batch_norm_batch: Count | None = None
    exact_bn_statistics: bool = False
    eval_batch: Count = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.global_batch % self.micro_batches == 0,
            f"train.micro_batches={self.micro_batches}: must divide train.global_batch={self.global_batch}",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class InMemoryTrain(Train):
    """Training on examples in memory, the last batch of an epoch being as small as it is."""

    label_smoothing: BelowOne = 0.0
    exact_bn_statistics: bool = False
    measure_fit: bool = False
    eval_batch: Count = 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairsTrain(Train):
    """Training on pairs of sequences; batches, also those of evaluation, count their symbols."""

    label_smoothing: BelowOne = 0.0
    measure_fit: bool = False
    eval_batch: Count = 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class WholeSetTrain(Train):
    """Training on all examples in every step."""

    measure_fit: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClosedFormTrain(Train):
    """No training: the one step solves for the weights on all examples, as they are."""

    measure_fit: bool = False
    eval_batch: Count = 512

    def check(self, experiment: Experiment) -> None:
        super().check(experiment)
        for field, value in (("steps", 1), ("ema_decay", 0.0), ("select", "last")):
            given = getattr(self, field)
            require(
                given == value,
                f"train.{field}={str(given).lower()}: the weights are solved for in one step. Leave it at {value}.",
            )

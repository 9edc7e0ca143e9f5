"""Length of training, batch size, and the intervals of logging, evaluation and checkpoints."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar, Literal

from flags.errors import require
from flags.ranges import BelowOne, Count, Group, Positive

if TYPE_CHECKING:
    from flags.recipe import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Group):
    """Training settings of every task. `*_every` count steps.

    `global_batch` counts examples, lanes of a text, or subwords of sentence pairs. Exactly one of `epochs` and `steps`
    is given. `ema_decay` 0 disables the weight average; its effective value at step t is
    min(ema_decay, (1 + t) / (10 + t)). With `evals_per_decade` n, evaluations take place after 10^(i / n) updates,
    i = 0, 1, ..., rounded, instead of every `eval_every` steps.

    Class variables are settings that only some subclasses support; those declare them as fields.

    Attributes:
        label_smoothing: s in the targets (1 - s) * onehot + s / classes.
        micro_batches: number of passes into which a replica splits its share of a batch; gradients are summed.
        batch_norm_batch: largest number of examples that batch norm averages over (the per-replica batch of the
            paper's machine); raises the number of micro-batches accordingly.
        exact_bn_statistics: whether averages over one epoch of training batches replace batch norm's moving statistics
            after training.
        measure_fit: whether every evaluation also covers the training examples, without augmentation and in inference
            mode.
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
    select: Literal["best", "last"] = "last"  # the checkpoint to test and export; "best" on data.validation_split

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
        """Raises UserError if these fields do not fit the rest of the recipe."""
        require(
            self.select == "last" or experiment.data.holds_out,
            f"train.select=best selects by data.validation_split={experiment.data.validation_split}: it must be given "
            "and differ from the test split",
        )

    def micro_batches_of(self, replicas: int) -> int:
        """The number of equal micro-batches into which each of `replicas` replicas splits its share of a step."""
        share = self.global_batch // replicas
        most = min(share // self.micro_batches, self.batch_norm_batch or share)
        return next(parts for parts in range(1, share + 1) if share % parts == 0 and share // parts <= most)

    def steps_per_epoch(self, examples_per_epoch: int) -> float:
        """Fractional, as in EfficientNet's official code: 1,281,167 images at batch 4096 are 312.8 steps."""
        return examples_per_epoch / self.global_batch

    def total_steps(self, examples_per_epoch: int) -> int:
        """Optimizer updates of the whole run; a last step that would exceed `epochs` is dropped."""
        if self.steps is not None:
            return self.steps
        # Rounded first: 0.29 epochs of 100 steps are 28.999999999999996 in floating point.
        return max(1, int(round(self.epochs * self.steps_per_epoch(examples_per_epoch), 6)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamedTrain(Train):
    """Training on examples streamed from disk."""

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
    """Training on in-memory examples; the last batch of an epoch may be smaller."""

    label_smoothing: BelowOne = 0.0
    exact_bn_statistics: bool = False
    measure_fit: bool = False
    eval_batch: Count = 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairsTrain(Train):
    """Training on pairs of sequences; batch sizes, including those of evaluation, count symbols."""

    label_smoothing: BelowOne = 0.0
    measure_fit: bool = False
    eval_batch: Count = 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class WholeSetTrain(Train):
    """Training on all examples in every step."""

    measure_fit: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClosedFormTrain(Train):
    """No iterative training: a single step solves for the weights on all examples, without augmentation."""

    measure_fit: bool = False
    eval_batch: Count = 512

    def check(self, experiment: Experiment) -> None:
        super().check(experiment)
        for field, value in (("steps", 1), ("ema_decay", 0.0), ("select", "last")):
            given = getattr(self, field)
            require(
                given == value,
                f"train.{field}={str(given).lower()}: the weights are solved for in one step. Set {value}.",
            )

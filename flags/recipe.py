"""What an experiment is made of: frozen dataclasses whose fields are the rows of a paper's table.

Everything that changes a result stands here; everything that does not (folders, devices, logging to the
screen) is a flag (`flags/run.py`). A paper's module (`flags/papers/efficientnet.py`, ...) fills these in, and
`--set=path=value` replaces any field. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from flags.data import Images, LinearData, Sentences, SmallImages, Text
from flags.errors import UserError, require
from flags.optimization import (
    Adam,
    DynamicDrop,
    Exponential,
    InverseSquareRoot,
    Lamb,
    LayerwiseSGD,
    LeastSquares,
    Momentum,
    RMSProp,
    Stepwise,
    WarmUp,
    WarmUpInverseSquareRoot,
)
from flags.sweep import Sweep


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paper:
    """Where an experiment comes from and the numbers printed there.

    Accuracies are fractions in 0..1, `bpc` is in bits per byte. `numbers` is empty where the paper has none.
    """

    citation: str
    row: str  # "Table 2, EfficientNet-B0"
    numbers: Mapping[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A network of `tf_models`. A subclass adds the options that its builder takes, under the same names."""

    name: str  # one of tf_models.list_models()

    def options(self) -> dict[str, Any]:
        """The keyword arguments of `tf_models.build_model`, without those that the data set decides."""
        names = [field.name for field in dataclasses.fields(self) if field.name not in ("name", "resolution")]
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """How long, how much at once, and how often the run reports, evaluates and saves. `*_every` count steps.

    `global_batch` counts images, the lanes of a text, or the subwords that pairs of sentences take; so does
    `eval_batch`, but that lanes in evaluation have fields of their own. Exactly one of `epochs` and `steps` is given.
    `micro_batches` splits what a replica sees in a step into that many passes whose gradients add up.
    `batch_norm_batch` makes them more, so that batch norm never averages over more examples than that: what a replica
    of the paper's machine saw. `ema_decay` 0 keeps no weight average; its effective value at step t is min(ema_decay,
    (1 + t) / (10 + t)). With `exact_bn_statistics` the moving statistics of batch norm are replaced, when training
    ends, by averages over one epoch of training batches. With `evals_per_decade` n there are evaluations after
    10^(i / n) updates, i = 0, 1, ..., rounded, in place of every `eval_every`. With `measure_fit` every evaluation, and
    that at the end, also takes in the training examples, not augmented and in inference mode.
    """

    global_batch: int
    epochs: float | None = None
    steps: int | None = None
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    clip_norm: float | None = None  # of the whole gradient, after the sum over replicas
    micro_batches: int = 1
    batch_norm_batch: int | None = None
    exact_bn_statistics: bool = False
    log_every: int = 100
    eval_every: int
    checkpoint_every: int
    evals_per_decade: int | None = None
    measure_fit: bool = False
    keep_checkpoints: int = 3
    select: Literal["best", "last"] = "last"  # which checkpoint is tested and exported; best on data.validation_split
    eval_batch: int = 512

    def __post_init__(self) -> None:
        require(
            (self.epochs is None) != (self.steps is None),
            f"train.epochs={self.epochs}, train.steps={self.steps}: give exactly one of them (set the other to none)",
        )
        require(self.epochs is None or self.epochs > 0, f"train.epochs={self.epochs}: must be positive")
        require(self.steps is None or self.steps > 0, f"train.steps={self.steps}: must be positive")
        counts = ("global_batch", "micro_batches", "log_every", "eval_every", "checkpoint_every", "keep_checkpoints")
        for field in (*counts, "eval_batch"):
            value = getattr(self, field)
            require(value >= 1, f"train.{field}={value}: must be 1 or more")
        require(
            self.global_batch % self.micro_batches == 0,
            f"train.micro_batches={self.micro_batches}: must divide train.global_batch={self.global_batch}",
        )
        require(
            self.batch_norm_batch is None or self.batch_norm_batch >= 1,
            f"train.batch_norm_batch={self.batch_norm_batch}: must be 1 or more, or none",
        )
        require(
            self.evals_per_decade is None or self.evals_per_decade >= 1,
            f"train.evals_per_decade={self.evals_per_decade}: must be 1 or more, or none",
        )
        require(0 <= self.label_smoothing < 1, f"train.label_smoothing={self.label_smoothing}: must lie in [0, 1)")
        require(0 <= self.ema_decay < 1, f"train.ema_decay={self.ema_decay}: must lie in [0, 1)")
        require(
            self.clip_norm is None or self.clip_norm > 0,
            f"train.clip_norm={self.clip_norm}: must be positive, or none",
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


NOT_FOR_TEXT = {  # fields of `Train` that mean nothing to a language model -> why
    "label_smoothing": "a language model is trained on the plain cross-entropy of the next symbol",
    "micro_batches": "lanes carry state from step to step; if memory is short, lower train.global_batch (fewer lanes) "
    "or data.segment_length",
    "batch_norm_batch": "a language model has no batch norm",
    "exact_bn_statistics": "a language model has no batch norm",
    "eval_batch": "a language model is evaluated in data.validation_lanes and data.test_lanes",
}


NOT_FOR_SENTENCES = {  # the same of translation
    "micro_batches": "pairs of a step differ in length; if memory is short, lower train.global_batch (fewer subwords) "
    "or data.max_length",
    "batch_norm_batch": "a Transformer has no batch norm",
    "exact_bn_statistics": "a Transformer has no batch norm",
}


NOT_SOLVED = {  # what changes the steps or the examples of training -> its value where a head is solved for
    "train.steps": 1,
    "train.label_smoothing": 0.0,
    "train.ema_decay": 0.0,
    "train.exact_bn_statistics": False,
    "train.select": "last",
    "data.crop": "none",
    "data.flip": False,
}


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
    task: Literal["classification", "language_modelling", "translation", "least_squares", "regression"]
    paper: Paper
    model: Model
    data: Images | Text | Sentences | LinearData
    optimizer: RMSProp | Momentum | LayerwiseSGD | Adam | Lamb | LeastSquares
    schedule: (
        Exponential | Stepwise | WarmUp | InverseSquareRoot | DynamicDrop | WarmUpInverseSquareRoot | None
    )  # none: nothing is trained step by step
    train: Train
    deviations: tuple[str, ...] = ()
    sample: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sample_deviations: tuple[str, ...] = ()
    synthetic: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sweep: Sweep | None = None
    sample_sweep: Sweep | None = None

    def __post_init__(self) -> None:
        validation = self.data.validation_split
        require(
            self.train.select == "last" or self._has_held_out,
            f"train.select=best selects by data.validation_split={validation}: it must be given, "
            "and not be the test split",
        )
        if isinstance(self.data, Text):
            self._check_left_out(NOT_FOR_TEXT)
        if isinstance(self.data, Sentences):
            self._check_left_out(NOT_FOR_SENTENCES)
        if not isinstance(self.data, Images) and isinstance(self.schedule, Stepwise):
            self._check_stepwise()
        if isinstance(self.schedule, WarmUpInverseSquareRoot):
            require(
                self.schedule.lr is not None or hasattr(self.model, "d_model"),
                "schedule.lr=none: the rate follows model.d_model, which this model has not. Give a number.",
            )
        if isinstance(self.data, Images):
            self._check_images()
        if self.task == "least_squares":
            self._check_least_squares()
        if isinstance(self.data, LinearData):
            self._check_linear_data()
        if isinstance(self.schedule, WarmUp) and self.schedule.second_pass_epochs > 0:
            self._check_second_pass()

    @property
    def rate(self) -> Any:
        """The schedule, with the rate that follows from the model's width where it names none."""
        if isinstance(self.schedule, WarmUpInverseSquareRoot):
            return self.schedule.of_width(getattr(self.model, "d_model", 1))
        return self.schedule

    @property
    def _has_held_out(self) -> bool:
        return self.data.validation_split not in (None, self.data.test_split)

    def _check_images(self) -> None:
        data, train = self.data, self.train
        require(
            isinstance(data, SmallImages) or not train.measure_fit,
            "train.measure_fit=true: only training images that are held in memory are measured. Set it to false.",
        )
        require(
            not isinstance(data, SmallImages) or data.test_protocol == "centre_crop",
            f"data.test_protocol={data.test_protocol}: images held in memory are tested whole. Set centre_crop.",
        )
        if data.test_protocol == "multi_scale" and min(data.test_scales) < self.model.resolution:
            raise UserError(
                f"data.test_scales={','.join(map(str, data.test_scales))}: none must be below "
                f"model.resolution={self.model.resolution}, the part of an image that the network sees at once"
            )
        require(
            getattr(self.schedule, "drops", None) != "plateau" or data.validation_split is not None,
            f"schedule.drops=plateau watches data.validation_split={data.validation_split}: it must be given",
        )

    def _check_left_out(self, fields: Mapping[str, str]) -> None:
        for field, why in fields.items():
            value, default = getattr(self.train, field), getattr(Train, field)
            require(value == default, f"train.{field}={value}: {why}. Leave it at {str(default).lower()}.")

    def _check_stepwise(self) -> None:
        require(
            self.schedule.drops != "plateau" and self.schedule.warmup_lr is None,
            "schedule.drops=plateau and schedule.warmup_lr watch the top-1 of images, which there is "
            "not here. Set schedule.drops=boundaries and schedule.warmup_lr=none.",
        )

    def _check_least_squares(self) -> None:
        for field, value in NOT_SOLVED.items():
            group, name = field.split(".")
            given = getattr(getattr(self, group), name)
            require(
                given == value,
                f"{field}={str(given).lower()}: the head is solved for in one step, on images as they are. "
                f"Leave it at {str(value).lower()}.",
            )

    def _check_linear_data(self) -> None:
        batch, count = self.train.global_batch, self.data.num_train
        require(
            batch == count,
            f"train.global_batch={batch}: every step takes all of data.num_train={count}. Set both to one number.",
        )

    def _check_second_pass(self) -> None:
        epochs, none = self.schedule.second_pass_epochs, "schedule.second_pass_epochs=0"
        given = f"schedule.second_pass_epochs={epochs}"
        require(
            self.train.epochs is not None,
            f"{given}: they are the last of train.epochs, but train.steps={self.train.steps} is given. "
            f"Set {none}, or train.epochs in place of train.steps.",
        )
        require(
            epochs < self.train.epochs,
            f"{given}: they are the last of train.epochs={self.train.epochs}, and must be fewer. "
            f"Set {none}, or more train.epochs.",
        )
        require(
            self._has_held_out,
            f"{given}: they begin from the best weights by data.validation_split={self.data.validation_split}, "
            f"which must be given, and not be the test split. Set it, or {none}.",
        )
        require(
            not isinstance(self.data, Text) or self.data.second_pass_length_seed is not None,
            f"{given}: their segments have a seed of their own. Set data.second_pass_length_seed, such as 125, "
            f"or {none}.",
        )

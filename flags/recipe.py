"""What an experiment is made of: frozen dataclasses whose fields are the rows of a paper's table.

Everything that changes a result stands here; everything that does not (folders, devices, logging to the
screen) is a flag (`flags/run.py`). A paper's module (`flags/efficientnet.py`, ...) fills these in, and
`--set=path=value` replaces any field. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from flags.errors import UserError


def require(condition: bool, message: str) -> None:
    """Raises `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)


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
class Images:
    """An image classification data set and the way from its files to the network's input.

    Splits are TFDS split expressions. `validation_split` selects the best checkpoint, `test_split` gives the
    reported numbers. `mean` and `stddev` are per channel, on the scale 0..255. `examples_per_epoch` is what the paper
    counts as an epoch, for the length of the run and for the schedule; None: the size of `train_split`.

    Tests on the way always take the centre crop, those at the end `test_protocol`: the centre crop, the average over
    four corners, centre and their mirror images (`ten_crop`), or over whole images at every one of `test_scales`
    (`multi_scale`: shorter sides in pixels, the network applied at every position).
    """

    name: str  # TFDS name, a builder of ours, or "synthetic"
    train_split: str
    validation_split: str | None  # none: no evaluation on the way
    test_split: str
    examples_per_epoch: int | None = None
    crop: Literal["inception", "scale_jitter", "pad_and_shift", "none"] = "inception"
    shorter_side: tuple[int, ...] = (256, 480)  # scale_jitter: smallest and largest, in pixels, before the crop
    flip: bool = True
    lighting: float = 0.0  # standard deviation of AlexNet's noise along the principal components of colour
    augment: Literal["none", "autoaugment_v0", "autoaugment_v0_scaled"] = "none"
    resize: Literal["bicubic_tf1", "bicubic", "bilinear"] = "bicubic_tf1"
    crop_padding: int = 32  # evaluation crops the centre square of side size / (size + crop_padding)
    mean_image: bool = False  # subtract the mean training image, pixel by pixel, in place of `mean`
    mean: tuple[float, ...] = (0.485 * 255, 0.456 * 255, 0.406 * 255)
    stddev: tuple[float, ...] = (0.229 * 255, 0.224 * 255, 0.225 * 255)
    test_protocol: Literal["centre_crop", "ten_crop", "multi_scale"] = "centre_crop"
    test_scales: tuple[int, ...] = (224, 256, 384, 480, 640)
    shuffle_window: int = 8192  # undecoded examples that are permuted together

    def __post_init__(self) -> None:
        require(
            self.examples_per_epoch is None or self.examples_per_epoch >= 1,
            f"data.examples_per_epoch={self.examples_per_epoch}: must be 1 or more, or none",
        )
        require(self.crop_padding >= 0, f"data.crop_padding={self.crop_padding}: must be 0 or more")
        require(self.shuffle_window >= 1, f"data.shuffle_window={self.shuffle_window}: must be 1 or more")
        require(len(self.mean) == len(self.stddev) == 3, "data.mean and data.stddev take three numbers, one a channel")
        require(min(self.stddev) > 0, f"data.stddev={self.stddev}: must be positive")
        require(self.lighting >= 0, f"data.lighting={self.lighting}: must be 0 or more")
        require(
            len(self.shorter_side) == 2 and 1 <= self.shorter_side[0] <= self.shorter_side[1],
            f"data.shorter_side={self.shorter_side}: takes two numbers of pixels, the smaller first, such as 256,480",
        )
        require(
            len(self.test_scales) > 0 and min(self.test_scales, default=0) >= 1,
            f"data.test_scales={self.test_scales}: takes numbers of pixels, such as 224,256,384",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text:
    """A text that a language model reads symbol by symbol (bytes or words), in parallel lanes.

    A split is cut into lanes of equal length; hidden state and memory are carried along each. In training there are
    `Train.global_batch` lanes. `segment_length` (the author's bptt) is the longest segment in symbols: in training the
    lengths vary by the author's rule, in evaluation every segment has it. The lengths of the first pass are drawn from
    `length_seed`, those of the second (`WarmUp.second_pass_epochs`), if there is one, from `second_pass_length_seed`.
    """

    name: str  # a builder of ours, or "synthetic_text"
    train_split: str = "train"
    validation_split: str | None = "validation"  # none: no evaluation on the way
    test_split: str = "test"
    segment_length: int
    length_seed: int
    second_pass_length_seed: int | None = None
    validation_lanes: int
    test_lanes: int

    def __post_init__(self) -> None:
        for field in ("segment_length", "validation_lanes", "test_lanes"):
            value = getattr(self, field)
            require(value >= 1, f"data.{field}={value}: must be 1 or more")
        for field in ("length_seed", "second_pass_length_seed"):
            value = getattr(self, field)
            require(value is None or 0 <= value < 2**32, f"data.{field}={value}: must be from 0 to {2**32 - 1}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
    """What all optimizers have: weight decay, which is the coupled L2 of the papers unless a subclass says otherwise.

    By it the loss gains `l2` * sum(w^2) / 2. `decayed` are the weights of that sum: kernels of convolutions and dense
    layers; every trainable weight outside batch norm; or all.
    """

    weight_decay: float
    decayed: Literal["kernels", "outside_batch_norm", "all"] = "outside_batch_norm"

    def __post_init__(self) -> None:
        require(self.weight_decay >= 0, f"optimizer.weight_decay={self.weight_decay}: must be 0 or more")

    @property
    def l2(self) -> float:
        """The coefficient of the loss's L2 term: 0 where weight decay is part of the optimizer's own update."""
        return self.weight_decay


@dataclasses.dataclass(frozen=True, kw_only=True)
class RMSProp(Optimizer):
    """RMSProp as TensorFlow 1 has it: mean square starts at 1, epsilon inside the root, momentum on lr-scaled steps."""

    decay: float
    momentum: float
    epsilon: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.decay < 1, f"optimizer.decay={self.decay}: must lie in [0, 1)")
        require(0 <= self.momentum < 1, f"optimizer.momentum={self.momentum}: must lie in [0, 1)")
        require(self.epsilon > 0, f"optimizer.epsilon={self.epsilon}: must be positive")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Momentum(Optimizer):
    """SGD with momentum: velocity = momentum * velocity + lr * gradient, weight = weight - velocity."""

    momentum: float
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.momentum < 1, f"optimizer.momentum={self.momentum}: must lie in [0, 1)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lamb(Optimizer):
    """LAMB with a least trust (SHA-RNN, section 6.3): moments without bias correction, decay inside the update.

    The update of a tensor, u = m / (sqrt(v) + epsilon) + weight_decay * w, is multiplied by the rate and by its trust
    ratio, min(|w|, max_weight_norm) / |u|, or `min_trust` where that is larger.
    """

    beta_1: float
    beta_2: float
    epsilon: float
    min_trust: float
    max_weight_norm: float
    decayed: Literal["all"] = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("beta_1", "beta_2"):
            value = getattr(self, field)
            require(0 <= value < 1, f"optimizer.{field}={value}: must lie in [0, 1)")
        for field in ("epsilon", "max_weight_norm"):
            value = getattr(self, field)
            require(value > 0, f"optimizer.{field}={value}: must be positive")
        require(self.min_trust >= 0, f"optimizer.min_trust={self.min_trust}: must be 0 or more")

    @property
    def l2(self) -> float:
        return 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exponential:
    """lr = lr_per_256 * global_batch / 256 * decay_rate ** (epoch / decay_epochs), linear warm-up from 0.

    `epoch` is step / `Train.steps_per_epoch`, a real number. With `staircase` the exponent is rounded down. The decay
    counts from step 0, not from the end of the warm-up, which lasts int(warmup_epochs * steps_per_epoch) steps.
    """

    lr_per_256: float
    decay_rate: float
    decay_epochs: float
    warmup_epochs: float
    staircase: bool = True

    def __post_init__(self) -> None:
        require(self.lr_per_256 > 0, f"schedule.lr_per_256={self.lr_per_256}: must be positive")
        require(0 < self.decay_rate <= 1, f"schedule.decay_rate={self.decay_rate}: must lie in (0, 1]")
        require(self.decay_epochs > 0, f"schedule.decay_epochs={self.decay_epochs}: must be positive")
        require(self.warmup_epochs >= 0, f"schedule.warmup_epochs={self.warmup_epochs}: must be 0 or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stepwise:
    """A constant rate that is multiplied by `factor` a few times.

    That happens after as many updates as `boundaries` say; or, with `drops` "plateau", as often as there are
    boundaries, each time that `patience` evaluations in a row have not brought the validation top-1 up by
    `min_improvement` (a fraction). With `warmup_lr` the run begins at that rate instead and stays there until the
    training error of 100 updates is below `warmup_error`. The rate does not follow the batch.
    """

    lr: float
    boundaries: tuple[int, ...]
    factor: float = 0.1
    drops: Literal["boundaries", "plateau"] = "boundaries"
    patience: int = 5
    min_improvement: float = 0.001
    warmup_lr: float | None = None
    warmup_error: float = 0.8

    def __post_init__(self) -> None:
        require(self.lr > 0, f"schedule.lr={self.lr}: must be positive")
        require(
            self.warmup_lr is None or self.warmup_lr > 0,
            f"schedule.warmup_lr={self.warmup_lr}: must be positive, or none",
        )
        require(0 < self.factor < 1, f"schedule.factor={self.factor}: must lie in (0, 1)")
        require(self.patience >= 1, f"schedule.patience={self.patience}: must be 1 or more")
        require(self.min_improvement >= 0, f"schedule.min_improvement={self.min_improvement}: must be 0 or more")
        require(0 < self.warmup_error <= 1, f"schedule.warmup_error={self.warmup_error}: must lie in (0, 1]")
        require(
            list(self.boundaries) == sorted({b for b in self.boundaries if b > 0}),
            f"schedule.boundaries={self.boundaries}: must be numbers of updates, each larger than the one before",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmUp:
    """A constant rate after a linear warm-up: update s, counted from 1, has lr * min(s, warmup_steps) / warmup_steps.

    With `cooldown_steps` c the factor of `lr` is less by clip((s - c) / c, 0, 1).
    The last `second_pass_epochs` of `Train.epochs` begin again from the best weights so far, with a new optimizer
    state, at second_pass_factor * lr, and with s counted anew.
    """

    lr: float
    warmup_steps: int  # 1: none
    cooldown_steps: int | None = None
    second_pass_epochs: float = 0.0
    second_pass_factor: float = 0.5

    def __post_init__(self) -> None:
        for field in ("lr", "second_pass_factor"):
            value = getattr(self, field)
            require(value > 0, f"schedule.{field}={value}: must be positive")
        require(self.warmup_steps >= 1, f"schedule.warmup_steps={self.warmup_steps}: must be 1 (no warm-up) or more")
        cooldown, epochs = self.cooldown_steps, self.second_pass_epochs
        require(cooldown is None or cooldown >= 1, f"schedule.cooldown_steps={cooldown}: must be 1 or more, or none")
        require(epochs >= 0, f"schedule.second_pass_epochs={epochs}: must be 0 (no second pass) or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """How long, how much at once, and how often the run reports, evaluates and saves. `*_every` count steps.

    `global_batch` counts images, or the lanes of a text. Exactly one of `epochs` and `steps` is given. `micro_batches`
    splits what a replica sees in a step into that many passes whose gradients add up. `batch_norm_batch` makes them
    more, so that batch norm never averages over more examples than that: what a replica of the paper's machine saw.
    `ema_decay` 0 keeps no weight average; its effective value at step t is min(ema_decay, (1 + t) / (10 + t)). With
    `exact_bn_statistics` the moving statistics of batch norm are replaced, when training ends, by averages over one
    epoch of training batches.
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """One row of a paper's table, complete.

    `deviations` lists where the recipe leaves the paper or its code, why, and what that should change. `sample` holds
    the fields (by path) that change when the experiment runs on the embedded sample, and `sample_deviations` says why;
    `synthetic` does the same for `--data=synthetic`. `flags.catalog.variant` applies them.
    """

    name: str
    summary: str
    task: Literal["classification", "language_modelling"]
    paper: Paper
    model: Model
    data: Images | Text
    optimizer: RMSProp | Momentum | Lamb
    schedule: Exponential | Stepwise | WarmUp
    train: Train
    deviations: tuple[str, ...] = ()
    sample: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sample_deviations: tuple[str, ...] = ()
    synthetic: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        validation = self.data.validation_split
        require(
            self.train.select == "last" or self._has_held_out,
            f"train.select=best selects by data.validation_split={validation}: it must be given, "
            "and not be the test split",
        )
        if isinstance(self.data, Text):
            self._check_text()
        else:
            self._check_images()
        if isinstance(self.schedule, WarmUp) and self.schedule.second_pass_epochs > 0:
            self._check_second_pass()

    @property
    def _has_held_out(self) -> bool:
        return self.data.validation_split not in (None, self.data.test_split)

    def _check_images(self) -> None:
        data = self.data
        if data.test_protocol == "multi_scale" and min(data.test_scales) < self.model.resolution:
            raise UserError(
                f"data.test_scales={','.join(map(str, data.test_scales))}: none must be below "
                f"model.resolution={self.model.resolution}, the part of an image that the network sees at once"
            )
        require(
            getattr(self.schedule, "drops", None) != "plateau" or data.validation_split is not None,
            f"schedule.drops=plateau watches data.validation_split={data.validation_split}: it must be given",
        )

    def _check_text(self) -> None:
        for field, why in NOT_FOR_TEXT.items():
            value, default = getattr(self.train, field), getattr(Train, field)
            require(value == default, f"train.{field}={value}: {why}. Leave it at {str(default).lower()}.")
        if isinstance(self.schedule, Stepwise):
            require(
                self.schedule.drops != "plateau" and self.schedule.warmup_lr is None,
                "schedule.drops=plateau and schedule.warmup_lr watch the top-1 of images, which a language model has "
                "not. Set schedule.drops=boundaries and schedule.warmup_lr=none.",
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

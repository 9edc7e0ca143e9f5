"""What an experiment reads: data sets, their splits, and the way from a file to the network's input."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar, Literal

from flags.errors import UserError, require
from flags.ranges import Count, Group, Natural, NotNegative, Positive, Seed32, Share

if TYPE_CHECKING:
    from flags.recipe import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data(Group):
    """A data set and its splits. A kind of problem adds the way from a record to the network's input.

    `validation_split` is evaluated during training and selects the best checkpoint; none: no evaluation during
    training. `test_split` gives the reported numbers.
    """

    group: ClassVar[str] = "data"

    name: str
    train_split: str
    validation_split: str | None
    test_split: str

    @property
    def holds_out(self) -> bool:
        """Whether checkpoints can be selected without the test split."""
        return self.validation_split not in (None, self.test_split)

    def check(self, experiment: Experiment) -> None:
        """Raises UserError where these fields do not go with others of the recipe."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Images(Data):
    """An image classification data set and the way from its files to the network's input.

    Splits are TFDS split expressions. `mean` and `stddev` are per channel, on the scale 0..255. `examples_per_epoch` is
    what the paper counts as an epoch, for the length of the run and for the schedule; None: the size of `train_split`.

    Evaluations during training always take the centre crop, those at the end `test_protocol`: the centre crop, the
    average over four corners, centre and their mirror images (`ten_crop`), or over whole images at every one of
    `test_scales` (`multi_scale`: shorter sides in pixels, the network applied at every position).
    """

    examples_per_epoch: Count | None = None
    crop: Literal["inception", "scale_jitter", "pad_and_shift", "none"] = "inception"
    shorter_side: tuple[int, ...] = (256, 480)  # scale_jitter: smallest and largest, in pixels, before the crop
    flip: bool = True
    lighting: NotNegative = 0.0  # standard deviation of AlexNet's noise along the principal components of colour
    augment: Literal["none", "autoaugment_v0", "autoaugment_v0_scaled"] = "none"
    resize: Literal["bicubic_tf1", "bicubic", "bilinear"] = "bicubic_tf1"
    crop_padding: Natural = 32  # evaluation crops the centre square of side size / (size + crop_padding)
    channels: Literal[1, 3] = 3  # 1: gray
    mean_image: bool = False  # subtract the mean training image, pixel by pixel, in place of `mean`
    mean: tuple[float, ...] = (0.485 * 255, 0.456 * 255, 0.406 * 255)
    stddev: tuple[float, ...] = (0.229 * 255, 0.224 * 255, 0.225 * 255)
    test_protocol: Literal["centre_crop", "ten_crop", "multi_scale"] = "centre_crop"
    test_scales: tuple[int, ...] = (224, 256, 384, 480, 640)
    shuffle_window: Count = 8192  # undecoded examples that are permuted together

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            len(self.mean) == len(self.stddev) == self.channels,
            f"data.mean and data.stddev take a number for each of data.channels={self.channels} channels",
        )
        require(min(self.stddev) > 0, f"data.stddev={self.stddev}: must be positive")
        require(
            len(self.shorter_side) == 2 and 1 <= self.shorter_side[0] <= self.shorter_side[1],
            f"data.shorter_side={self.shorter_side}: takes two numbers of pixels, the smaller first, such as 256,480",
        )
        require(
            len(self.test_scales) > 0 and min(self.test_scales, default=0) >= 1,
            f"data.test_scales={self.test_scales}: takes numbers of pixels, such as 224,256,384",
        )

    def check(self, experiment: Experiment) -> None:
        if self.test_protocol == "multi_scale" and min(self.test_scales) < experiment.model.resolution:
            raise UserError(
                f"data.test_scales={','.join(map(str, self.test_scales))}: none must be below "
                f"model.resolution={experiment.model.resolution}, the part of an image that the network sees at once"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmallImages(Images):
    """Images that are decoded once and held in memory; of the training split a subset may be drawn, and labels changed.

    The subset is the first `num_train` examples of a random order, so that of one seed a smaller one is part of a
    larger one. With probability `label_noise` the label of an example of it is replaced by a uniformly random other
    class: once, before training, in the training split alone. Order and noise have generators of their own, so that
    even equal seeds give independent draws.
    """

    crop: Literal["pad_and_shift", "none"] = "none"
    num_train: Count | None = None  # none: all of `train_split`
    label_noise: Share = 0.0
    subset_seed: Natural | None = None  # none: that of the run, --seed
    noise_seed: Natural | None = None  # the same

    def __post_init__(self) -> None:
        super().__post_init__()
        for field, only in (("augment", "none"), ("lighting", 0.0), ("mean_image", False)):
            value = getattr(self, field)
            require(value == only, f"data.{field}={value}: images held in memory are only shifted and mirrored")

    def check(self, experiment: Experiment) -> None:
        super().check(experiment)
        require(
            self.test_protocol == "centre_crop",
            f"data.test_protocol={self.test_protocol}: images in memory are tested whole. Set centre_crop.",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text(Data):
    """A text that a language model reads symbol by symbol (bytes or words), in parallel lanes.

    A split is cut into lanes of equal length; hidden state and memory are carried along each. In training there are
    `Train.global_batch` lanes. `segment_length` (the author's bptt) is the longest segment in symbols: in training the
    lengths vary by the author's rule, in evaluation every segment has it. The lengths of the first pass are drawn from
    `length_seed`, those of the second (`WarmUp.second_pass_epochs`), if there is one, from `second_pass_length_seed`.
    """

    train_split: str = "train"
    validation_split: str | None = "validation"
    test_split: str = "test"
    segment_length: Count
    length_seed: Seed32
    second_pass_length_seed: Seed32 | None = None
    validation_lanes: Count
    test_lanes: Count


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sentences(Data):
    """Pairs of sentences of a source and a target language, in subwords that both share.

    The subwords (byte pair encoding) are learnt from the training pairs that are used: the first `num_train` of a
    random order. A step takes as many pairs as fit into `Train.global_batch` target subwords, padding included. A
    training pair with more than `max_length` subwords on a side is left out.
    """

    train_split: str = "train"
    validation_split: str | None = "validation"
    test_split: str = "test"
    num_train: Count | None = None  # none: all of `train_split`
    subset_seed: Natural | None = None  # none: that of the run, --seed
    vocabulary: Count = 10_000  # subwords of both languages together
    max_length: Count = 256
    beam: Count = 1  # hypotheses kept in translating the test split; 1: greedy


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearData(Data):
    """Inputs x ~ N(0, diag(scales^2)) and targets <x, coefficients>, made in memory; coefficients ~ N(0, 1).

    The scales go from the smallest to the largest in equal ratios. Training targets have noise besides, test targets
    have none.
    """

    name: Literal["linear_data"] = "linear_data"
    train_split: Literal["train"] = "train"
    validation_split: Literal["test"] | None = "test"
    test_split: Literal["train", "test"] = "test"
    dimension: Count
    num_train: Count
    num_test: Count
    smallest_scale: Positive
    largest_scale: Positive
    noise: NotNegative = 0.0  # standard deviation
    data_seed: Natural | None = None  # none: that of the run, --seed

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.smallest_scale <= self.largest_scale,
            f"data.smallest_scale={self.smallest_scale}: must not be above data.largest_scale={self.largest_scale}",
        )

    def check(self, experiment: Experiment) -> None:
        batch = experiment.train.global_batch
        require(
            batch == self.num_train,
            f"train.global_batch={batch}: every step takes all of data.num_train={self.num_train}. "
            "Set both to one number.",
        )

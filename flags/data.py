"""What an experiment reads: data sets, their splits, and the way from a file to the network's input."""

from __future__ import annotations

import dataclasses
from typing import Literal

from flags.errors import require


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
    channels: Literal[1, 3] = 3  # 1: gray
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
        require(
            len(self.mean) == len(self.stddev) == self.channels,
            f"data.mean and data.stddev take a number for each of data.channels={self.channels} channels",
        )
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
class SmallImages(Images):
    """Images that are decoded once and held in memory; of the training split a subset may be drawn, and labels changed.

    The subset is the first `num_train` examples of a random order, so that of one seed a smaller one is part of a
    larger one. With probability `label_noise` the label of an example of it is replaced by a uniformly random other
    class: once, before training, in the training split alone. Order and noise have generators of their own, so that
    even equal seeds give independent draws.
    """

    crop: Literal["pad_and_shift", "none"] = "none"
    num_train: int | None = None  # none: all of `train_split`
    label_noise: float = 0.0
    subset_seed: int | None = None  # none: that of the run, --seed
    noise_seed: int | None = None  # the same

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.num_train is None or self.num_train >= 1,
            f"data.num_train={self.num_train}: must be 1 or more, or none",
        )
        require(0 <= self.label_noise <= 1, f"data.label_noise={self.label_noise}: must lie in [0, 1]")
        for field in ("subset_seed", "noise_seed"):
            value = getattr(self, field)
            require(value is None or value >= 0, f"data.{field}={value}: must be 0 or more, or none")
        for field, only in (("augment", "none"), ("lighting", 0.0), ("mean_image", False)):
            value = getattr(self, field)
            require(value == only, f"data.{field}={value}: images held in memory are only shifted and mirrored")


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
class Sentences:
    """Pairs of sentences of a source and a target language, in subwords that both share.

    The subwords (byte pair encoding) are learnt from the training pairs that are used: the first `num_train` of a
    random order. A step takes as many pairs as fit into `Train.global_batch` target subwords, padding included. A
    training pair with more than `max_length` subwords on a side is left out.
    """

    name: str  # a builder of ours, or TFDS's
    train_split: str = "train"
    validation_split: str | None = "validation"  # none: no evaluation on the way
    test_split: str = "test"
    num_train: int | None = None  # none: all of `train_split`
    subset_seed: int | None = None  # none: that of the run, --seed
    vocabulary: int = 10_000  # subwords of both languages together
    max_length: int = 256
    beam: int = 1  # hypotheses kept in translating the test split; 1: greedy

    def __post_init__(self) -> None:
        for field in ("vocabulary", "max_length", "beam"):
            value = getattr(self, field)
            require(value >= 1, f"data.{field}={value}: must be 1 or more")
        require(
            self.num_train is None or self.num_train >= 1,
            f"data.num_train={self.num_train}: must be 1 or more, or none",
        )
        require(
            self.subset_seed is None or self.subset_seed >= 0,
            f"data.subset_seed={self.subset_seed}: must be 0 or more, or none",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearData:
    """Inputs x ~ N(0, diag(scales^2)) and targets <x, coefficients>, made in memory; coefficients ~ N(0, 1).

    The scales go from the smallest to the largest in equal ratios. Training targets have noise besides, test targets
    have none.
    """

    name: Literal["linear_data"] = "linear_data"
    train_split: Literal["train"] = "train"
    validation_split: Literal["test"] | None = "test"  # none: no evaluation on the way
    test_split: Literal["train", "test"] = "test"
    dimension: int
    num_train: int
    num_test: int
    smallest_scale: float
    largest_scale: float
    noise: float = 0.0  # standard deviation
    data_seed: int | None = None  # none: that of the run, --seed

    def __post_init__(self) -> None:
        for field in ("dimension", "num_train", "num_test"):
            value = getattr(self, field)
            require(value >= 1, f"data.{field}={value}: must be 1 or more")
        require(
            0 < self.smallest_scale <= self.largest_scale,
            f"data.smallest_scale={self.smallest_scale}: must be positive, and not above "
            f"data.largest_scale={self.largest_scale}",
        )
        require(self.noise >= 0, f"data.noise={self.noise}: must be 0 or more")
        require(
            self.data_seed is None or self.data_seed >= 0,
            f"data.data_seed={self.data_seed}: must be 0 or more, or none",
        )

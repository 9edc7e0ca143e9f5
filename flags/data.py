"""An experiment's data: the data set, its splits, and the preprocessing from file to network input."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar, Literal

from flags.errors import UserError, require
from flags.ranges import Count, Group, Natural, NotNegative, Positive, Seed32, Share

if TYPE_CHECKING:
    from flags.recipe import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data(Group):
    """A data set and its splits. Subclasses add the preprocessing for one kind of task.

    `validation_split` is evaluated during training and selects the best checkpoint; with none, training runs without
    evaluation. `test_split` gives the reported numbers.
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
        """Raises UserError if these fields do not fit the rest of the recipe."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Images(Data):
    """An image classification data set and its preprocessing.

    Splits are TFDS split expressions. `mean` and `stddev` are per channel, on the scale 0..255. `examples_per_epoch` is
    the paper's epoch size, used for the length of the run and the schedule; None: the size of `train_split`.

    Evaluations during training use the centre crop. The final evaluation uses `test_protocol`: the centre crop, the
    average over four corners, centre and their mirror images (`ten_crop`), or the average over whole images at each of
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
    channels: Literal[1, 3] = 3  # 1: greyscale
    mean_image: bool = False  # subtract the mean training image, pixel by pixel, instead of `mean`
    mean: tuple[float, ...] = (0.485 * 255, 0.456 * 255, 0.406 * 255)
    stddev: tuple[float, ...] = (0.229 * 255, 0.224 * 255, 0.225 * 255)
    test_protocol: Literal["centre_crop", "ten_crop", "multi_scale"] = "centre_crop"
    test_scales: tuple[int, ...] = (224, 256, 384, 480, 640)
    shuffle_window: Count = 8192  # undecoded examples permuted together

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            len(self.mean) == len(self.stddev) == self.channels,
            f"data.mean and data.stddev take one number for each of data.channels={self.channels} channels",
        )
        require(min(self.stddev) > 0, f"data.stddev={self.stddev}: must be positive")
        require(
            len(self.shorter_side) == 2 and 1 <= self.shorter_side[0] <= self.shorter_side[1],
            f"data.shorter_side={self.shorter_side}: takes two sizes in pixels, the smaller first, such as 256,480",
        )
        require(
            len(self.test_scales) > 0 and min(self.test_scales, default=0) >= 1,
            f"data.test_scales={self.test_scales}: takes sizes in pixels, such as 224,256,384",
        )

    def check(self, experiment: Experiment) -> None:
        if self.test_protocol == "multi_scale" and min(self.test_scales) < experiment.model.resolution:
            raise UserError(
                f"data.test_scales={','.join(map(str, self.test_scales))}: none may be below "
                f"model.resolution={experiment.model.resolution}, the network's input size"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmallImages(Images):
    """Images decoded once and kept in memory, with an optional training subset and optional label noise.

    The subset is the first `num_train` examples of a random order: for one seed, smaller subsets are contained in
    larger ones. With probability `label_noise` a label of the subset is replaced by another class, uniformly at
    random, once before training; other splits keep their labels. Order and noise use separate generators, so equal
    seeds still give independent draws.
    """

    crop: Literal["pad_and_shift", "none"] = "none"
    num_train: Count | None = None  # none: all of `train_split`
    label_noise: Share = 0.0
    subset_seed: Natural | None = None  # none: the run's --seed
    noise_seed: Natural | None = None  # none: the run's --seed

    def __post_init__(self) -> None:
        super().__post_init__()
        for field, only in (("augment", "none"), ("lighting", 0.0), ("mean_image", False)):
            value = getattr(self, field)
            require(value == only, f"data.{field}={value}: in-memory images can only be shifted and mirrored")

    def check(self, experiment: Experiment) -> None:
        super().check(experiment)
        require(
            self.test_protocol == "centre_crop",
            f"data.test_protocol={self.test_protocol}: in-memory images are tested whole. Set centre_crop.",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text(Data):
    """A text that a language model reads symbol by symbol (bytes or words), in parallel lanes.

    A split is cut into lanes of equal length; hidden state and memory are carried along each lane. Training uses
    `Train.global_batch` lanes. `segment_length` (the author's bptt) is the longest segment in symbols: training varies
    the length by the author's rule, evaluation always uses this length. `length_seed` draws the lengths of the first
    pass, `second_pass_length_seed` those of the optional second (`WarmUp.second_pass_epochs`).
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
    """Sentence pairs of a source and a target language, with one shared subword vocabulary.

    The subwords (byte pair encoding) are learnt from the training pairs in use: the first `num_train` of a random
    order. A step takes as many pairs as fit into `Train.global_batch` target subwords, padding included. Training pairs
    with more than `max_length` subwords on either side are dropped.
    """

    train_split: str = "train"
    validation_split: str | None = "validation"
    test_split: str = "test"
    num_train: Count | None = None  # none: all of `train_split`
    subset_seed: Natural | None = None  # none: the run's --seed
    vocabulary: Count = 10_000  # subwords of both languages together
    max_length: Count = 256
    beam: Count = 1  # beam width when translating the test split; 1: greedy


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearData(Data):
    """Inputs x ~ N(0, diag(scales^2)) and targets <x, coefficients>, generated in memory; coefficients ~ N(0, 1).

    The scales are spaced geometrically from smallest to largest. Only training targets have noise.
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
    data_seed: Natural | None = None  # none: the run's --seed

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
            "Set both to the same number.",
        )

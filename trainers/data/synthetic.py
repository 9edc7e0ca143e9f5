"""Synthetic image data sets for benchmarks and tests; they pass through the complete pipeline."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from trainers.data.splits import parts_of

NAMES = ("synthetic", "synthetic_cifar10")


def open_synthetic(name: str, *, seed: int) -> SyntheticDataSet:
    """The data set of one of `NAMES`, in the shape of ImageNet or of CIFAR-10."""
    if name == "synthetic":
        return SyntheticDataSet(name=name, seed=seed)
    return SyntheticDataSet(
        name=name,
        num_classes=10,
        num_train=50_000,
        num_test=10_000,
        size=(32, 32),
        encode=tf.io.encode_png,
        seed=seed,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class SyntheticSplit:
    """A subset of the positions of a synthetic split; a record is a position (int64)."""

    num_examples: int
    shard_sizes: tuple[int, ...]
    _skips: tuple[int, ...]
    _images: tf.Tensor  # [images] encoded
    _num_classes: int

    def read(self, shard: tf.Tensor, skip: tf.Tensor, take: tf.Tensor) -> tf.data.Dataset:
        begin = tf.gather(tf.constant(self._skips, tf.int64), shard) + skip
        return tf.data.Dataset.range(begin, begin + take)

    @property
    def distinct(self) -> SyntheticSplit:
        """Each image once; the whole split if it is smaller."""
        count = len(self._images)
        if self.num_examples <= count:
            return self
        return dataclasses.replace(self, num_examples=count, shard_sizes=(count,), _skips=(0,))

    def parse(self, record: tf.Tensor) -> dict[str, tf.Tensor]:
        image = tf.gather(self._images, record % tf.size(self._images, out_type=tf.int64))
        return {"image": image, "label": record % self._num_classes}


def _jpeg(image: tf.Tensor) -> tf.Tensor:
    return tf.io.encode_jpeg(image, quality=90)


class SyntheticDataSet:
    """A few random images, repeated to the size of the split, with cyclic labels. Splits: train, validation, test.

    Args:
        num_test: number of examples of `test`, and of `validation`, which is the same.
        size: (height, width) of the images in pixels; at the default a file has about 110 KB, as in ImageNet.
        encode: encodes an image ([height, width, 3], uint8) as a file.
        num_images: number of different images.
    """

    def __init__(
        self,
        *,
        name: str = "synthetic",
        num_classes: int = 1000,
        num_train: int = 1_281_167,
        num_test: int = 512,
        size: tuple[int, int] = (375, 500),
        encode: Callable[[tf.Tensor], tf.Tensor] = _jpeg,
        num_images: int = 64,
        seed: int = 0,
    ):
        self.name = name
        self.num_classes = num_classes
        self.class_names = tuple(f"class {label}" for label in range(num_classes))
        self._images = _random_images(num_images, size, encode, seed)
        self._lengths = {"train": num_train, "validation": num_test, "test": num_test}

    def split(self, expression: str) -> SyntheticSplit:
        """The examples of a split, in TFDS's syntax."""
        parts = [(begin, end) for _, begin, end in parts_of(self._lengths, expression, self.name, "example")]
        sizes = tuple(end - begin for begin, end in parts)
        return SyntheticSplit(
            num_examples=sum(sizes),
            shard_sizes=sizes,
            _skips=tuple(begin for begin, _ in parts),
            _images=self._images,
            _num_classes=self.num_classes,
        )


def _random_images(count: int, size: tuple[int, int], encode: Callable, seed: int) -> tf.Tensor:
    """Soft coloured noise, as hard to compress and to decode as a photograph: [count] files."""

    def image(index):
        coarse, fine = tf.unstack(tf.random.split(tf.stack([seed, index]), 2, alg="philox"))
        patches = tf.random.stateless_uniform([1, 12, 16, 3], coarse, 0.0, 255.0, alg="philox")
        grain = tf.random.stateless_normal([*size, 3], fine, stddev=16.0, alg="philox")
        pixels = tf.image.resize(patches, size, "bicubic")[0] + grain
        return encode(tf.saturate_cast(pixels, tf.uint8))

    return tf.stack([image(index) for index in range(count)])

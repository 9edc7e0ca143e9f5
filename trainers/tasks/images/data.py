"""Labelled image data sets from TFDS, our own builders, or synthetic."""

from __future__ import annotations

import os

import tensorflow as tf
import tensorflow_datasets as tfds

from flags.errors import UserError
from trainers.data import synthetic
from trainers.data.sources import GeneratedSource, Source
from trainers.data.splits import Split, open_split
from trainers.data.synthetic import SyntheticDataSet


class ImageDataSet:
    """A labelled image data set as its builder declares it: the classes are known, the files may be missing."""

    def __init__(self, builder: tfds.core.DatasetBuilder):
        self.name = builder.info.full_name
        self._builder = builder
        image, label = _image_and_label(builder.info)
        self._features = {"image": (image, tf.string), "label": (label, tf.int64)}
        self.class_names = tuple(builder.info.features[label].names)
        self.num_classes = len(self.class_names)

    def split(self, expression: str) -> Split:
        """The examples of a split in TFDS's syntax: `train`, `train[25022:]`, `train+validation`, `train[:10%]`.

        Raises:
            UserError: the split does not exist, or some of its files are missing.
        """
        return open_split(self._builder, expression, self._features)


def find(name: str, data_dir: str | os.PathLike | None = None) -> Source | GeneratedSource:
    """Returns the data set called `name`.

    Raises:
        UserError: the data set does not exist, or does not consist of labelled images.
    """
    if name in synthetic.NAMES:
        return GeneratedSource(name)
    source = Source(name, data_dir)
    _image_and_label(source.builder.info)
    return source


def open_images(source: Source | GeneratedSource, *, seed: int = 0) -> ImageDataSet | SyntheticDataSet:
    """The data set of a source, prepared or not.

    Args:
        seed: seed of synthetic images.
    """
    if isinstance(source, GeneratedSource):
        return synthetic.open_synthetic(source.name, seed=seed)
    return ImageDataSet(source.builder)


def _image_and_label(info: tfds.core.DatasetInfo) -> tuple[str, str]:
    """The names of the image feature and the label feature."""
    keys = info.supervised_keys
    if keys is None or len(keys) != 2 or not all(isinstance(key, str) for key in keys):
        keys = ("image", "label")
    features = dict(info.features.items())
    image, label = (features.get(key) for key in keys)
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        raise UserError(f"data.name={info.name}: not a data set of labelled images; it has {', '.join(features)}")
    return keys

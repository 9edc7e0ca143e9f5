"""What tests of the trainers share: two logical devices, and small data sets in TFDS's own format on disk."""

import contextlib
import io
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is loaded

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from trainers.data.sources import Source
from trainers.run.strategy import make_strategy
from trainers.tasks.images.data import ImageDataSet

# Before any operation runs: TensorFlow fixes its devices then.
_cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(scope="session")
def two_replicas():
    """The MirroredStrategy over two logical CPU devices that runs in this process use too."""
    return make_strategy("mirrored", cluster=None, devices="cpu:0,cpu:1")


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory):
    """A TFDS folder in which the embedded sample `digits` is prepared."""
    folder = tmp_path_factory.mktemp("tfds_digits")
    Source("digits", folder).prepare()
    return folder


@pytest.fixture(scope="session")
def fake_imagenet(tmp_path_factory):
    """A TFDS folder that holds a tiny `imagenet2012`, written by TFDS's own builder.

    64 training and 23 validation images of 8 of the 1000 classes, 4 files each, from 40x60 to 90x120 pixels. Every
    class has a colour of its own, so a net can learn them. The first training images are a gray and a CMYK file.
    """
    folder = tmp_path_factory.mktemp("tfds_imagenet")
    builder = tfds.builder("imagenet2012", data_dir=folder)
    names = builder.info.features["label"].names[::125]
    # What reads ImageNet's archives is replaced; what writes stays TFDS's.
    builder._split_generators = lambda dl_manager: {
        "train": _imagenet_examples(names, 64, modes=("L", "CMYK")),
        "validation": _imagenet_examples(names, 23),
    }
    write(builder, num_shards=4)
    return folder


@pytest.fixture(scope="session")
def wikitext2_of(tmp_path_factory):
    """Prepares a `wikitext2` whose parts are three given texts, in a TFDS folder of its own, which is returned."""

    def prepare(train, validation, test):
        folder = tmp_path_factory.mktemp("tfds_wikitext")
        files = folder / "downloads" / "manual" / "wikitext-2"
        files.mkdir(parents=True)
        for part, lines in (("train", train), ("valid", validation), ("test", test)):
            (files / f"wiki.{part}.tokens").write_text(lines)
        Source("wikitext2", folder).prepare()
        return folder

    return prepare


CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture(scope="session")
def fake_cifar10(tmp_path_factory):
    """A TFDS folder that holds a tiny `cifar10`, written by TFDS's own builder: 40 training and 8 test images."""
    folder = tmp_path_factory.mktemp("tfds_cifar10")
    builder = tfds.builder("cifar10", data_dir=folder)
    pixels = np.random.default_rng(0).integers(0, 256, (48, 32, 32, 3), np.uint8)
    rows = [(i, {"id": str(i), "image": image, "label": i % 10}) for i, image in enumerate(pixels)]
    builder._split_generators = lambda dl_manager: {"train": iter(rows[:40]), "test": iter(rows[40:])}
    # What the replaced method would have read from the archive.
    builder.info.features["label"].names = CIFAR10_CLASSES
    write(builder, num_shards=2)
    return folder


def _imagenet_examples(names, count, modes=()):
    random = np.random.default_rng(count)
    for index in range(count):
        label = index % len(names)
        height, width = random.integers(40, 91), random.integers(60, 121)
        colour = 255 * np.array([label & 1, label >> 1 & 1, label >> 2 & 1])
        pixels = np.clip(colour + random.normal(0, 40, (height, width, 3)), 0, 255).astype(np.uint8)
        mode = modes[index] if index < len(modes) else "RGB"
        file = io.BytesIO()
        PIL.Image.fromarray(pixels).convert(mode).save(file, "JPEG", quality=90)
        file.seek(0)
        file_name = f"{names[label]}_{index}.JPEG"
        yield file_name, {"image": file, "label": names[label], "file_name": file_name}


def write(builder, num_shards):
    """Lets a TFDS builder write its data set, without what it prints."""
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(None):
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=num_shards))


class _Numbers(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """101 training and 23 test examples whose label is their number."""

    name = "numbers"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(1, 1, 1), encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=101),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(101), "test": self._generate_examples(23)}

    def _generate_examples(self, count):
        for number in range(count):
            yield number, {"image": np.full([1, 1, 1], number, np.uint8), "label": number}


@pytest.fixture(scope="session")
def numbers_builder(tmp_path_factory):
    """The prepared TFDS builder of 101 training and 23 test examples, labelled by number, in 20 files each."""
    builder = _Numbers(data_dir=tmp_path_factory.mktemp("tfds_numbers"))
    write(builder, num_shards=20)
    return builder


@pytest.fixture(scope="session")
def numbers(numbers_builder):
    return ImageDataSet(numbers_builder)

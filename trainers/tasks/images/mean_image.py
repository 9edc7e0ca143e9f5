"""The mean of all training images, which ResNet's recipe subtracts from every input (section 3.4).

Computing it takes a pass over the data set, so it is saved in two places: in the TFDS folder, for other runs on the
same images, and in the run directory, so that a run's inputs do not change when the TFDS folder does.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pathlib
import re
import sys

import numpy as np
import tensorflow as tf

from flags.data import Images
from flags.errors import UserError
from trainers.data import images, stream
from trainers.data.sources import data_folder
from trainers.data.splits import Split
from trainers.data.synthetic import SyntheticDataSet, SyntheticSplit
from trainers.run.files import replace_remote
from trainers.tasks.images.data import ImageDataSet

CHUNK = 10_000  # examples summed per call, and between two progress lines
GROUP = 16  # examples that a core sums before the sums are added


def training_mean(
    dataset: ImageDataSet | SyntheticDataSet,
    data: Images,
    resolution: int,
    *,
    data_dir: str | os.PathLike | None = None,
    quiet: bool = True,
) -> np.ndarray:
    """The mean of the training split's images, prepared as in evaluation: [resolution, resolution, 3], float32.

    Computed once per data set, split and preprocessing, and cached in `mean_images/` of the TFDS folder; if that is not
    writable, it is computed every time. Equal on every machine: float64 sums in a fixed order.

    Args:
        quiet: print no progress on stderr.
    """
    split = dataset.split(data.train_split)
    if isinstance(split, SyntheticSplit):
        return mean_of(split.distinct, data, resolution, quiet=quiet)
    cached = _cache_file(dataset.name, split, data, resolution, data_dir)
    with contextlib.suppress(tf.errors.OpError, ValueError):
        return _parse(tf.io.gfile.GFile(cached, "rb").read(), resolution)
    mean = mean_of(split, data, resolution, quiet=quiet)
    with contextlib.suppress(tf.errors.OpError):
        tf.io.gfile.makedirs(os.path.dirname(cached))
        replace_remote(cached, as_bytes(mean))
    return mean


def mean_of(split: stream.Records, data: Images, resolution: int, *, quiet: bool = True) -> np.ndarray:
    """Computes the mean of a split's images, ignoring the cache; shape and dtype as above."""
    shape, count = [resolution, resolution, 3], split.num_examples

    def add(total, encoded):
        return total + tf.cast(images.evaluation_image(encoded, data, resolution), tf.float64)

    @tf.function
    def sum_of(begin, end):
        zeros = tf.zeros(shape, tf.float64)
        groups = stream.examples(split, begin, end).map(lambda example: example["image"]).batch(GROUP)
        sums = groups.map(lambda group: tf.foldl(add, group, zeros), num_parallel_calls=tf.data.AUTOTUNE)
        return sums.reduce(zeros, tf.add)

    total = np.zeros(shape)
    for begin in range(0, count, CHUNK):
        end = min(begin + CHUNK, count)
        total += sum_of(tf.constant(begin, tf.int64), tf.constant(end, tf.int64)).numpy()
        if count > CHUNK and not quiet:
            stays = end == count or not sys.stderr.isatty()
            line = f"mean image: averaged over {end:,} of {count:,} images"
            print(line, end="\n" if stays else "\r", file=sys.stderr, flush=True)
    return (total / count).astype(np.float32)


def as_bytes(mean_image: np.ndarray) -> bytes:
    """Serialises a mean image as an .npy file."""
    content = io.BytesIO()
    np.save(content, mean_image)
    return content.getvalue()


def read(path: pathlib.Path, resolution: int) -> np.ndarray:
    """Reads the mean image in a run's folder.

    Raises:
        UserError: the file is damaged, or has another resolution.
    """
    try:
        return _parse(path.read_bytes(), resolution)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: damaged, or not the mean image of a run at model.resolution={resolution} ({error}). "
            "If the flags are those of this run, delete the file; it will be computed again."
        ) from error


def _cache_file(name: str, split: Split, data: Images, resolution: int, data_dir) -> str:
    """The cache file of a mean image: a readable name, and a hash of everything that determines the image."""
    identity = (name, data.train_split, split.shard_sizes, data.crop_padding, data.resize, resolution)
    digest = hashlib.sha256(repr(identity).encode()).hexdigest()[:16]
    readable = re.sub(r"[^\w.]+", "-", f"{name}-{data.train_split}-{resolution}")
    return os.path.join(data_folder(data_dir), "mean_images", f"{readable}-{digest}.npy")


def _parse(content: bytes, resolution: int) -> np.ndarray:
    """Parses an .npy file; raises ValueError if it is not a mean image of that resolution."""
    try:
        mean_image = np.load(io.BytesIO(content), allow_pickle=False)
    except (EOFError, OSError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(mean_image, np.ndarray) or mean_image.dtype != np.float32:
        raise ValueError("it contains no float32 array")
    if mean_image.shape != (resolution, resolution, 3):
        raise ValueError(f"its shape is {mean_image.shape}")
    if not np.all(np.isfinite(mean_image)):
        raise ValueError("not all of its values are finite")
    return mean_image

"""Splits of data sets, in TFDS's syntax: `train`, `train[25022:]`, `train+validation`, `train[:10%]`."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping

import tensorflow as tf
import tensorflow_datasets as tfds

from flags.errors import UserError
from trainers.data.damage import DAMAGED, one_line

READ_BUFFER_BYTES = 1 << 20

Features = Mapping[str, tuple[str, tf.DType]]  # our name of a feature -> its name in the records, and its type


@dataclasses.dataclass(frozen=True)
class Split:
    """A subset of a data set's records in file order, read by `trainers.data.stream`."""

    num_examples: int
    shard_sizes: tuple[int, ...]  # number of records of each file in the split
    _files: tuple[str, ...]
    _skips: tuple[int, ...]  # number of records of each file before them
    _features: Features = dataclasses.field(hash=False)

    def read(self, shard: tf.Tensor, skip: tf.Tensor, take: tf.Tensor) -> tf.data.Dataset:
        """`take` serialised examples of a file, starting at the split's `skip`-th.

        A file with fewer examples raises an error that names it. TensorFlow's own messages about damaged records name
        no file, and it does not notice a file truncated between two records.
        """
        file = tf.gather(tf.constant(self._files), shard)
        before = tf.gather(tf.constant(self._skips, tf.int64), shard) + skip
        records = tf.data.TFRecordDataset(file, buffer_size=READ_BUFFER_BYTES).skip(before).take(take)
        # `ignore_errors` ends a file at its first bad record, but retries endlessly if a file cannot be opened.
        opened = tf.data.FixedLengthRecordDataset(file, 1).take(1).skip(1)
        shortage = tf.data.Dataset.from_tensors(file).map(_fail)
        return opened.concatenate(records.ignore_errors(log_warning=True)).concatenate(shortage).take(take)

    def parse(self, record: tf.Tensor) -> dict[str, tf.Tensor]:
        """The features of one serialised example, by our names."""
        features = {name: tf.io.FixedLenFeature([], dtype) for name, dtype in self._features.values()}
        example = tf.io.parse_single_example(record, features)
        return {ours: example[name] for ours, (name, _) in self._features.items()}


def open_split(builder: tfds.core.DatasetBuilder, expression: str, features: Features) -> Split:
    """Opens a split of a prepared data set.

    Raises:
        UserError: the split does not exist, or some of its files are missing.
    """
    files = split_instructions(builder.info.splits, expression, builder.info.full_name)
    _check_files(builder, {file.filename for file in files})
    return Split(
        num_examples=sum(file.take for file in files),
        shard_sizes=tuple(file.take for file in files),
        _files=tuple(os.fspath(file.filename) for file in files),
        _skips=tuple(file.skip for file in files),
        _features=features,
    )


def split_instructions(splits: tfds.core.SplitDict, expression: str, name: str, unit: str = "example") -> list:
    """The files of a split with the records to skip and to take in each; messages call a record a `unit`.

    Raises:
        UserError: the split does not exist or is empty.
    """
    known = ", ".join(f"{split} ({info.num_examples:,})" for split, info in splits.items())
    try:
        files = [file for file in splits[expression].file_instructions if file.take > 0]
    except (ValueError, KeyError, NotImplementedError) as error:
        raise UserError(f"split {expression!r} of {name}: {one_line(error)}. Splits ({unit}s): {known}") from error
    if not files:
        raise UserError(f"split {expression!r} of {name} is empty. Splits ({unit}s): {known}")
    return files


def parts_of(lengths: Mapping[str, int], expression: str, name: str, unit: str) -> list[tuple[str, int, int]]:
    """Resolves a split expression for splits that are arrays, to a list of (whole split, begin, end).

    Args:
        lengths: whole split -> its number of units (examples, bytes, words, pairs).

    Raises:
        UserError: the split does not exist or is empty.
    """
    # TFDS expects a split to consist of files of examples: here one file, in a folder named after the split.
    template = functools.partial(tfds.core.ShardedFileTemplate, dataset_name="parts", filetype_suffix="none")
    splits = tfds.core.SplitDict(
        tfds.core.SplitInfo(name=split, shard_lengths=[length], num_bytes=0, filename_template=template(data_dir=split))
        for split, length in lengths.items()
    )
    files = split_instructions(splits, expression, name, unit)
    return [(os.path.dirname(file.filename), file.skip, file.skip + file.take) for file in files]


def check_num_train(num_train: int | None, available: int, *, split: str, name: str, unit: str) -> None:
    """Raises UserError if a recipe needs more training examples than its split has."""
    if num_train is not None and num_train > available:
        raise UserError(
            f"data.num_train={num_train}: data.train_split={split} of {name} has {available:,} {unit}s. "
            "Set at most that number, or none for all."
        )


def _check_files(builder: tfds.core.DatasetBuilder, files: set[str]) -> None:
    file_format = builder.info.file_format
    if file_format is not tfds.core.FileFormat.TFRECORD:
        raise UserError(
            f"{builder.data_dir}: prepared as {file_format.value}, which tf.data cannot read. "
            "Prepare it again in TFDS's default format, tfrecord."
        )
    present = set(tf.io.gfile.listdir(builder.data_dir))
    missing = sorted(file for file in files if os.path.basename(file) not in present)
    if missing:
        raise UserError(
            f"{missing[0]} is missing, one of {len(missing)} of {len(files)}: the folder is an incomplete copy. "
            "Copy it again, or delete it and prepare the data set again."
        )


def _fail(file: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.debugging.Assert(False, [DAMAGED, file])]):
        return tf.identity(file)

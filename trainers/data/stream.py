"""The order of examples: training streams that can start at any step, and evaluation that counts each example once.

The order is a pure function of (seed, epoch, position). In every epoch the shards of a split are permuted, the
records are read in that order and split into windows of `shuffle_window` records, and each window is permuted. A stream
can therefore begin at any position: complete shards before it are not opened, the rest of its window is read but not
decoded. Undecoded records are permuted; at most two windows of them are in memory.

Positions continue over the epochs: position P is record P % n of epoch P // n, and step s takes the positions
s * global_batch up to (s + 1) * global_batch, replica by replica. Batches may span two epochs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import tensorflow as tf

PARALLEL_READS = 16  # number of parallel readers of a split, for files on a network

Example = Mapping[str, tf.Tensor]


class Records(Protocol):
    """The input of a stream: a split of a data set. The order of `shard_sizes` is the file order."""

    num_examples: int
    shard_sizes: Sequence[int]

    def read(self, shard: tf.Tensor, skip: tf.Tensor, take: tf.Tensor) -> tf.data.Dataset:
        """`take` records of a shard, from record `skip` on: scalars of any type."""

    def parse(self, record: tf.Tensor) -> Example:
        """One record as `image` (encoded bytes) and `label` (int64)."""


def training_batches(
    split: Records,
    preprocess: Callable[[Example, tf.Tensor], Example],
    *,
    seed: int,
    first_step: int,
    global_batch: int,
    shuffle_window: int,
    context: tf.distribute.InputContext,
) -> tf.data.Dataset:
    """The infinite batches of one input pipeline from `first_step` on.

    For `strategy.distribute_datasets_from_function`. Replicas are numbered pipeline by pipeline; replica r gets the
    r-th part of every step, so the global batches do not depend on the number of replicas.

    Args:
        preprocess: maps `image` (encoded bytes) and `label`, and a seed ([2] int64) that depends only on the run's
            seed and the example's position, to an example of the batch with static shapes.
        shuffle_window: number of records permuted together; at the split's size or more, the shuffle is perfect.
    """
    replica_batch = context.get_per_replica_batch_size(global_batch)
    pipeline_batch = global_batch // context.num_input_pipelines
    first = first_step * global_batch

    def examples_of(epoch, window, records):
        size = tf.size(records, out_type=tf.int64)
        order = permutation(size, key(seed, epoch, 1 + window))
        begin = window * shuffle_window + epoch * split.num_examples
        positions = tf.range(begin, begin + size)
        owner = positions % global_batch // pipeline_batch
        wanted = tf.where(tf.logical_and(positions >= first, owner == context.input_pipeline_id))
        chosen = tf.gather_nd(tf.stack([tf.cast(order, tf.int64), positions], axis=1), wanted)
        # Each element references the whole window: a record is copied only for decoding.
        return tf.data.Dataset.zip(
            tf.data.Dataset.from_tensors(records).repeat(), tf.data.Dataset.from_tensor_slices(chosen)
        )

    def example_of(records, chosen):
        index, position = tf.unstack(chosen)
        return preprocess(split.parse(tf.gather(records, index)), tf.stack([tf.constant(seed, tf.int64), position]))

    # Prefetched: the next window is read while this one is decoded.
    windows = _windows(split, seed, first, shuffle_window).prefetch(1)
    examples = windows.flat_map(examples_of).map(example_of, num_parallel_calls=tf.data.AUTOTUNE)
    batches = examples.batch(replica_batch, drop_remainder=True)
    endless = batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    return finished(endless, context)


def evaluation_batches(
    split: Records,
    preprocess: Callable[[Example], Example],
    *,
    global_batch: int,
    context: tf.distribute.InputContext,
) -> tf.data.Dataset:
    """The batches of one input pipeline that together cover a split once, in file order.

    Every replica gets ceil(num_examples / global_batch) full batches. Each example also has `weight`: 1.0, or 0.0 for
    copies of the split's first example that pad the last batches.

    Args:
        preprocess: maps `image` (encoded bytes) and `label` to an example of the batch; with static shapes, unless a
            replica's batch is a single example.
    """
    replica_batch = context.get_per_replica_batch_size(global_batch)
    steps = -(-split.num_examples // global_batch)
    share = steps * global_batch // context.num_input_pipelines
    begin = min(context.input_pipeline_id * share, split.num_examples)
    end = min(begin + share, split.num_examples)

    def weighted(weight, begin, end):
        chosen = examples(split, begin, end)
        return chosen.map(
            lambda example: {**preprocess(example), "weight": tf.constant(weight)}, num_parallel_calls=tf.data.AUTOTUNE
        )

    real, filling = weighted(1.0, begin, end), weighted(0.0, 0, 1)
    padded = real.concatenate(filling.cache().repeat(share - (end - begin)))
    batches = padded.batch(replica_batch, drop_remainder=True)
    counted = batches.apply(tf.data.experimental.assert_cardinality(share // replica_batch))
    return finished(counted, context)


def examples(split: Records, begin: int = 0, end: int | None = None) -> tf.data.Dataset:
    """The examples [begin, end) of a split in file order, undecoded."""
    end = split.num_examples if end is None else end
    order = tf.range(len(split.shard_sizes), dtype=tf.int64)
    return _read_range(split, order, begin, end).map(split.parse)


def finished(batches: tf.data.Dataset, context: tf.distribute.InputContext) -> tf.data.Dataset:
    """Prefetches two batches per replica, in an order that does not depend on timing."""
    options = tf.data.Options()
    options.deterministic = True
    replicas = context.num_replicas_in_sync // context.num_input_pipelines
    return batches.prefetch(2 * replicas).with_options(options)


def _windows(split: Records, seed: int, first: int, shuffle_window: int) -> tf.data.Dataset:
    """Infinite (epoch, window, its records in reading order), starting at the window that contains position `first`."""
    first_epoch, offset = divmod(first, split.num_examples)
    first_window = offset // shuffle_window

    def windows_of(epoch):
        window = tf.where(tf.equal(epoch, first_epoch), tf.constant(first_window, tf.int64), 0)
        return tf.data.Dataset.zip(
            tf.data.Dataset.from_tensors(epoch).repeat(),
            tf.data.Dataset.counter(window),
            _epoch_records(split, seed, epoch, window * shuffle_window).batch(shuffle_window),
        )

    return tf.data.Dataset.counter(first_epoch).flat_map(windows_of)


def _epoch_records(split: Records, seed: int, epoch: tf.Tensor, first: tf.Tensor) -> tf.data.Dataset:
    """The records of an epoch from the `first` on, before windows are permuted.

    The concatenated permuted shards are cut into as many lanes as there are parallel readers. Record p is the
    (p // lanes)-th of lane p % lanes. Starting anywhere needs only the lengths of the lanes.
    """
    n = split.num_examples
    lanes = min(PARALLEL_READS, len(split.shard_sizes))
    order = tf.cast(permutation(len(split.shard_sizes), key(seed, epoch, 0)), tf.int64)

    def lane_records(lane):
        begin = lane * (n // lanes) + tf.minimum(lane, n % lanes)
        length = (n - lane + lanes - 1) // lanes
        done = (first - lane + lanes - 1) // lanes
        return _read_range(split, order, begin + done, begin + length)

    # Exhausted lanes are skipped, so the order stays right in the last round, where some lanes have one more record.
    turns = tf.data.Dataset.from_tensor_slices((first + tf.range(lanes, dtype=tf.int64)) % lanes)
    return turns.interleave(
        lane_records, cycle_length=lanes, block_length=1, num_parallel_calls=lanes, deterministic=True
    )


def _read_range(split: Records, order: tf.Tensor, begin: tf.Tensor | int, end: tf.Tensor | int) -> tf.data.Dataset:
    """Records [begin, end) of the shards concatenated in `order`; other shards are not opened."""
    sizes = tf.gather(tf.constant(split.shard_sizes, tf.int64), order)
    starts = tf.cumsum(sizes, exclusive=True)
    skip = tf.maximum(begin - starts, 0)
    take = tf.minimum(end - starts, sizes) - skip
    wanted = tf.where(take > 0)
    parts = tuple(tf.gather_nd(column, wanted) for column in (order, skip, take))
    return tf.data.Dataset.from_tensor_slices(parts).flat_map(split.read)


def key(seed: int, epoch: tf.Tensor, purpose: tf.Tensor | int) -> tf.Tensor:
    """The seed ([2] int64) of a permutation: `purpose` 0 is the order of an epoch's shards, 1 + w its window w."""
    pair = tf.stack([tf.constant(seed, tf.int64), epoch])
    return tf.random.fold_in(pair, tf.cast(purpose, tf.int64), alg="philox")


def permutation(size: tf.Tensor | int, key: tf.Tensor) -> tf.Tensor:
    """The numbers 0..size-1 in random order: [size] int32."""
    # An explicit algorithm: by default TensorFlow's choice depends on the device.
    numbers = tf.random.stateless_uniform([size], key, minval=None, maxval=None, dtype=tf.int64, alg="philox")
    return tf.argsort(numbers)

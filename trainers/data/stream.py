"""In what order examples are seen: training streams that start at any step, and evaluation that counts each once.

The order is a pure function of (seed, epoch, position). In every epoch the shards of a split are permuted, the
records are read in that order and cut into windows of `shuffle_window` records, and each window is permuted. So a
stream can begin at any position: whole shards before it are not opened, the rest of its window is read but not
decoded. What is permuted are undecoded records; at most two windows of them are in memory.

Positions count on over the epochs: position P is record P % n of epoch P // n, and step s takes the positions
s * global_batch up to (s + 1) * global_batch, replica after replica. Batches may cross from one epoch to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import tensorflow as tf

PARALLEL_READS = 16  # places of a split read at once, for files that come over a network

Example = Mapping[str, tf.Tensor]


class Records(Protocol):
    """What a stream reads from: a split of a data set. The order of `shard_sizes` is the file order."""

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
    """The batches of one input pipeline from `first_step` on, without end.

    To be used in `strategy.distribute_datasets_from_function`. Replicas are numbered pipeline after pipeline; replica r
    gets the r-th part of every step, so any number of replicas sees the same global batches.

    Args:
        preprocess: makes an example of the batch, with static shapes, from `image` (encoded bytes) and `label`, and
            from a seed ([2] int64) that belongs to the run's seed and the example's position alone.
        shuffle_window: how many records are permuted together; from the split's size on, the shuffle is perfect.
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
        # Each element refers to the whole window: a record is copied out of it only where it is decoded.
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
    the copies of the split's first example that fill up the last batches.

    Args:
        preprocess: makes an example of the batch from `image` (encoded bytes) and `label`; of static shape, where a
            replica's batch has more than one.
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
    """Keeps two batches a replica ready, in an order that does not depend on timing."""
    options = tf.data.Options()
    options.deterministic = True
    replicas = context.num_replicas_in_sync // context.num_input_pipelines
    return batches.prefetch(2 * replicas).with_options(options)


def _windows(split: Records, seed: int, first: int, shuffle_window: int) -> tf.data.Dataset:
    """(epoch, window, its records in reading order), from the window that holds position `first` on, without end."""
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
    """The records of an epoch before windows are permuted, from the `first` on.

    The permuted shards, one after the other, are cut into as many lanes as can be read at once. Record p comes from
    lane p % lanes: its (p // lanes)-th. Only the lengths of lanes are needed to start anywhere.
    """
    n = split.num_examples
    lanes = min(PARALLEL_READS, len(split.shard_sizes))
    order = tf.cast(permutation(len(split.shard_sizes), key(seed, epoch, 0)), tf.int64)

    def lane_records(lane):
        begin = lane * (n // lanes) + tf.minimum(lane, n % lanes)
        length = (n - lane + lanes - 1) // lanes
        done = (first - lane + lanes - 1) // lanes
        return _read_range(split, order, begin + done, begin + length)

    # A lane that is at its end is passed over, so the turn stays right in the last round, when some have one more.
    turns = tf.data.Dataset.from_tensor_slices((first + tf.range(lanes, dtype=tf.int64)) % lanes)
    return turns.interleave(
        lane_records, cycle_length=lanes, block_length=1, num_parallel_calls=lanes, deterministic=True
    )


def _read_range(split: Records, order: tf.Tensor, begin: tf.Tensor | int, end: tf.Tensor | int) -> tf.data.Dataset:
    """Records [begin, end) of the shards read one after the other in `order`; other shards are not opened."""
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
    # The algorithm is named: left to choose, TensorFlow takes another one on another device.
    numbers = tf.random.stateless_uniform([size], key, minval=None, maxval=None, dtype=tf.int64, alg="philox")
    return tf.argsort(numbers)

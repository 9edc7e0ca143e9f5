"""Batches of sentence pairs of similar length, limited by their number of subwords.

The size of a batch is its number of pairs times its longest side including `END`: all subwords and padding. The order
is a pure function of (seed, epoch): pairs are sorted by their longer side, in random order within each length, cut into
batches, and the batches are permuted. The sorted lengths, and therefore the cuts, are the same in every epoch: all
epochs have equally many steps, and a run can start at any step.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import tensorflow as tf

from flags.errors import UserError
from trainers.data import stream
from trainers.tasks.translation.data import Pairs
from trainers.tasks.translation.vocabulary import BEGIN, END, PADDING, Subwords


@dataclasses.dataclass(frozen=True)
class EncodedPairs:
    """Pairs of sentences as ids, [pairs, (subwords)] int32: sources end with `END`, targets also open with `BEGIN`."""

    source: tf.RaggedTensor
    target: tf.RaggedTensor
    num_left_out: int  # number of pairs dropped because they are too long

    def __len__(self) -> int:
        return len(self.source.row_lengths())

    def at(self, places: np.ndarray) -> EncodedPairs:
        """The pairs at the given places, in that order."""
        return dataclasses.replace(self, source=tf.gather(self.source, places), target=tf.gather(self.target, places))

    @property
    def num_target_tokens(self) -> int:
        """The number of predicted tokens: all target subwords and one `END` per target."""
        return int(tf.reduce_sum(self.target.row_lengths() - 1))

    @property
    def lengths(self) -> np.ndarray:
        """[pairs] int64: length of the longer side, including `END`."""
        return np.maximum(self.source.row_lengths(), self.target.row_lengths() - 1)


def encode(pairs: Pairs, subwords: Subwords, *, max_length: int | None = None) -> EncodedPairs:
    """Encodes pairs as ids.

    Args:
        max_length: drop pairs with more subwords on either side; None: keep all.

    Raises:
        UserError: all pairs are dropped.
    """
    encoded = list(zip(subwords.encode(pairs.source), subwords.encode(pairs.target)))
    kept = [pair for pair in encoded if max_length is None or max(map(len, pair)) <= max_length]
    if not kept:
        raise UserError(
            f"data.max_length={max_length}: all {len(encoded):,} pairs have more subwords on a side. Increase it"
        )
    return EncodedPairs(
        source=_ragged([[*source, END] for source, _ in kept]),
        target=_ragged([[BEGIN, *target, END] for _, target in kept]),
        num_left_out=len(encoded) - len(kept),
    )


def padded_sources(texts: list[str], subwords: Subwords) -> np.ndarray:
    """Encoder inputs for arbitrary texts: [texts, time] int32, with `END`, padded."""
    return _ragged([[*ids, END] for ids in subwords.encode(texts)]).to_tensor(PADDING).numpy()


def steps_per_epoch(pairs: EncodedPairs, *, tokens: int) -> int:
    """The number of batches per epoch, which is the same for all epochs.

    Raises:
        UserError: a pair does not fit into a batch.
    """
    return len(_training_cuts(pairs, tokens)) - 1


def tokens_of_steps(pairs: EncodedPairs, *, tokens: int, seed: int, epoch: int) -> np.ndarray:
    """The number of subwords, including `END`, that each step of a `training_batches` epoch predicts: [steps] int64.

    Raises:
        UserError: a pair does not fit into a batch.
    """
    cuts = _training_cuts(pairs, tokens)
    order, batches = _plan(pairs.lengths, len(cuts) - 1, seed, tf.constant(epoch, tf.int64))
    predicted = tf.gather(pairs.target.row_lengths() - 1, order).numpy()
    return np.add.reduceat(predicted, cuts[:-1])[batches.numpy()]


def training_batches(
    pairs: EncodedPairs, *, tokens: int, seed: int, first_step: int, context: tf.distribute.InputContext
) -> tf.data.Dataset:
    """The infinite batches of one input pipeline from `first_step` on.

    For `strategy.distribute_datasets_from_function`. Every epoch has every pair once. An element has, for one replica,
    `source` [batch, source time], `target` [batch, target time] (decoder input: `BEGIN` and the translation) and
    `labels` [batch, target time] (decoder output: the translation and `END`), int32 and padded with 0, and `tokens`
    [batch] float32: the step's number of labels on all replicas.

    Replicas are numbered pipeline by pipeline and share a step's pairs equally; missing pairs of the last replicas are
    replaced by rows of padding. All replicas' tensors have the same shapes.

    Args:
        tokens: maximum size of a batch: pairs times the longest side.

    Raises:
        UserError: a pair does not fit into a batch.
    """
    cuts = _training_cuts(pairs, tokens)
    steps, begins, lengths = len(cuts) - 1, tf.constant(cuts), pairs.lengths
    target_lengths = pairs.target.row_lengths() - 1
    own = context.num_replicas_in_sync // context.num_input_pipelines

    def parts_of(epoch):
        plan = _plan(lengths, steps, seed, epoch)
        first = tf.where(tf.equal(epoch, first_step // steps), first_step % steps, 0)
        parts = tf.data.Dataset.range(tf.cast(first, tf.int64) * own, steps * own)
        return tf.data.Dataset.zip(tf.data.Dataset.from_tensors(plan).repeat(), parts)

    def batch_of(plan, part):
        order, batches = plan
        batch = batches[part // own]
        chosen = order[begins[batch] : begins[batch + 1]]
        rows = _padded(pairs, chosen, part % own, context)
        labels = tf.cast(tf.reduce_sum(tf.gather(target_lengths, chosen)), tf.float32)
        return rows | {"tokens": tf.fill(tf.shape(rows["source"])[:1], labels)}

    batches = tf.data.Dataset.counter(first_step // steps).flat_map(parts_of)
    batches = batches.map(batch_of, num_parallel_calls=tf.data.AUTOTUNE)
    endless = batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    return stream.finished(endless, context)


def evaluation_batches(pairs: EncodedPairs, *, tokens: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
    """The batches of one input pipeline that together have all pairs once, in order, replica by replica in a step.

    An element is as in training, with `weight` [batch] float32 instead of `tokens`: 1.0, or 0.0 for rows of padding.

    Args:
        tokens: maximum size of a batch; a larger pair is a batch of its own.
    """
    cuts = _cuts(pairs.lengths, tokens)
    begins = tf.constant(cuts)
    own = context.num_replicas_in_sync // context.num_input_pipelines

    def batch_of(part):
        step = part // own
        rows = _padded(pairs, tf.range(begins[step], begins[step + 1]), part % own, context)
        # Rows of pairs, unlike padding, begin with `BEGIN`.
        return rows | {"weight": tf.cast(rows["target"][:, 0] != PADDING, tf.float32)}

    parts = tf.data.Dataset.range((len(cuts) - 1) * own)
    return stream.finished(parts.map(batch_of, num_parallel_calls=tf.data.AUTOTUNE), context)


def _ragged(rows: list[list[int]]) -> tf.RaggedTensor:
    # Faster than tf.ragged.constant, which iterates over the ids in Python.
    values = np.fromiter(itertools.chain.from_iterable(rows), np.int32)
    return tf.RaggedTensor.from_row_lengths(values, [len(row) for row in rows])


def _padded(pairs: EncodedPairs, chosen: tf.Tensor, replica: tf.Tensor, context: tf.distribute.InputContext):
    """The rows of a pipeline's `replica` from the `chosen` pairs of a step, padded to the longest of all rows."""
    replicas = context.num_replicas_in_sync
    replica += context.input_pipeline_id * (replicas // context.num_input_pipelines)
    rows = (tf.size(chosen, out_type=tf.int64) + replicas - 1) // replicas
    own = chosen[replica * rows : (replica + 1) * rows]

    def dense(side: tf.RaggedTensor) -> tf.Tensor:
        width = tf.reduce_max(tf.gather(side.row_lengths(), chosen))
        padded = tf.gather(side, own).to_tensor(PADDING, shape=tf.stack([rows, width]))
        return tf.ensure_shape(padded, [None, None])

    source, target = dense(pairs.source), dense(pairs.target)
    labels = target[:, 1:]
    # `END` is predicted but not read; without this, shorter texts would have it in `target`.
    read = tf.where(labels == PADDING, PADDING, target[:, :-1])
    return {"source": source, "target": read, "labels": labels}


def _plan(lengths: np.ndarray, steps: int, seed: int, epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The sorted pairs of an epoch, [pairs] int32, and the batch of each step, [steps]."""
    count = len(lengths)
    order = stream.permutation(count, stream.key(seed, epoch, 0))
    # Distinct keys, because sorting equal keys need not preserve their random order.
    sorting = tf.gather(lengths, order) * count + tf.range(count, dtype=tf.int64)
    return tf.gather(order, tf.argsort(sorting)), stream.permutation(steps, stream.key(seed, epoch, 1))


def _training_cuts(pairs: EncodedPairs, tokens: int) -> np.ndarray:
    lengths = np.sort(pairs.lengths)
    if lengths[-1] > tokens:
        raise UserError(
            f"train.global_batch={tokens}: the longest training pair has {lengths[-1]} subwords. Set at least that, "
            f"or data.max_length to at most {tokens - 1}"
        )
    return _cuts(lengths, tokens)


def _cuts(lengths: np.ndarray, tokens: int) -> np.ndarray:
    """The boundaries of batches of consecutive pairs, [batches + 1] int64, each batch as large as possible.

    A batch ends before the pair that would make it larger than `tokens`.
    """
    cuts, longest = [0], 0
    for place, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if place > cuts[-1] and (place + 1 - cuts[-1]) * longest > tokens:
            cuts.append(place)
            longest = length
    return np.array([*cuts, len(lengths)])

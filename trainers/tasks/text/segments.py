"""Divides a text into parallel lanes, and the lanes into consecutive segments.

A lane is a contiguous part of the text; a language model carries its state along it from segment to segment. All lanes
are cut at the same positions. In training, segment lengths vary by the rule of AWD-LSTM's code, as in SHA-RNN's code.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from flags.errors import UserError


def lanes(tokens: np.ndarray, count: int) -> np.ndarray:
    """Cuts a text ([symbols]) into equal parts, [count, n]; the remainder is dropped.

    Raises:
        UserError: a lane would have fewer than two symbols, and nothing to predict.
    """
    n = len(tokens) // count
    if n < 2:
        raise UserError(
            f"a text of {len(tokens):,} symbols cannot be cut into {count} lanes of at least 2: "
            f"use at most {len(tokens) // 2} lanes, or a larger split"
        )
    return tokens[: count * n].reshape(count, n)


@dataclasses.dataclass(frozen=True, eq=False)
class Segments:
    """The steps of a run or of an evaluation: [steps] each.

    A segment reads the symbols begin..begin+length-1 of every lane and predicts the one after each.
    """

    begin: np.ndarray  # int64
    length: np.ndarray  # int32
    is_first: np.ndarray  # bool: state and memory are reset, as at the start of every epoch
    epoch: np.ndarray  # int32, from 0

    def __len__(self) -> int:
        return len(self.begin)

    def __add__(self, later: Segments) -> Segments:
        """Appends later segments, whose epochs continue the count."""
        return Segments(
            begin=np.concatenate([self.begin, later.begin]),
            length=np.concatenate([self.length, later.length]),
            is_first=np.concatenate([self.is_first, later.is_first]),
            epoch=np.concatenate([self.epoch, later.epoch + self.epoch[-1] + np.int32(1)]),
        )


def random_segments(n: int, bptt: int, seed: int, *, epochs: float | None = None, steps: int | None = None) -> Segments:
    """Segments for training on lanes of n symbols, their lengths drawn by the author's rule.

    A length is drawn from a normal distribution with standard deviation 5 and mean `bptt`, or in one of twenty cases
    half of that, then truncated to an integer and clipped to 5..`bptt`. An epoch ends when at most two symbols of a
    lane are left, so the last may never be predicted. The random generator is not reset between epochs.

    Args:
        bptt: the longest segment, in symbols.
        epochs: number of epochs; a fractional last epoch has its first segments, at least one.
        steps: number of segments, instead of `epochs`.

    Raises:
        UserError: lanes of n symbols are too short to train on.
    """
    if n < 3:
        raise UserError(f"lanes of {n} symbols are too short to train on: use fewer lanes, or a larger split")
    drawn = _epochs(n, bptt, np.random.RandomState(seed))
    return _joined(_first_steps(drawn, steps) if epochs is None else _first_epochs(drawn, epochs))


def fixed_segments(n: int, bptt: int) -> Segments:
    """Segments for evaluation: `bptt` symbols each, the last one shorter, over all n - 1 predictions of a lane."""
    whole, rest = divmod(n - 1, bptt)
    return _joined([[bptt] * whole + [rest] * (rest > 0)])


def batches(
    lanes: np.ndarray, segments: Segments, *, first_step: int = 0, context: tf.distribute.InputContext
) -> tf.data.Dataset:
    """The input of the replicas of one input pipeline, from `first_step` to the last segment.

    For `strategy.distribute_datasets_from_function`. Replicas are numbered pipeline by pipeline; replica r gets the
    r-th block of lanes at every step, so its state stays with its lanes. An element has `tokens` and `targets`
    ([replica's lanes, length], int32; the length varies) and `is_first` ([replica's lanes], bool).

    Args:
        lanes: [lanes, n]; their number is a multiple of the number of replicas.
    """
    replicas = context.num_replicas_in_sync // context.num_input_pipelines
    share = context.get_per_replica_batch_size(len(lanes))
    first_lane = context.input_pipeline_id * replicas * share
    # Eager tensors, which the functions below capture: a step copies only its own segment.
    own = tf.constant(lanes[first_lane : first_lane + replicas * share])
    begin, length, is_first = (tf.constant(row) for row in (segments.begin, segments.length, segments.is_first))

    def element(index):
        step, replica = index // replicas, index % replicas
        corner = tf.stack([replica * share, begin[step]])
        size = tf.stack([share, tf.cast(length[step], tf.int64) + 1])
        piece = tf.cast(tf.ensure_shape(tf.slice(own, corner, size), [share, None]), tf.int32)
        return {"tokens": piece[:, :-1], "targets": piece[:, 1:], "is_first": tf.fill([share], is_first[step])}

    options = tf.data.Options()
    options.deterministic = True
    # These optimizations rewrite the pipeline as a graph that contains a copy of the text.
    options.experimental_optimization.apply_default_optimizations = False
    indices = tf.data.Dataset.range(first_step * replicas, len(segments) * replicas)
    return indices.map(element).prefetch(2 * replicas).with_options(options)


def _epochs(n: int, bptt: int, random: np.random.RandomState) -> Iterator[list[int]]:
    """Infinite segment lengths, epoch by epoch."""
    uniform, normal = random.random_sample, random.normal
    while True:
        lengths, begin = [], 0
        while begin < n - 2:
            base = bptt if uniform() < 0.95 else bptt / 2
            length = min(max(5, int(normal(base, 5))), bptt, n - 1 - begin)
            lengths.append(length)
            begin += length
        yield lengths


def _first_epochs(drawn: Iterator[list[int]], epochs: float) -> Iterator[list[int]]:
    part, whole = math.modf(epochs)
    for _ in range(int(whole)):
        yield next(drawn)
    if part:
        last = next(drawn)
        yield last[: max(1, round(part * len(last)))]


def _first_steps(drawn: Iterator[list[int]], steps: int) -> Iterator[list[int]]:
    while steps > 0:
        lengths = next(drawn)[:steps]
        steps -= len(lengths)
        yield lengths


def _joined(epochs: Iterable[list[int]]) -> Segments:
    """Segments from the lengths of each epoch."""
    lengths = [np.array(epoch, np.int32) for epoch in epochs]
    begin = np.concatenate([np.cumsum(epoch, dtype=np.int64) - epoch for epoch in lengths])
    numbers = np.arange(len(lengths), dtype=np.int32)
    return Segments(
        begin=begin,
        length=np.concatenate(lengths),
        is_first=begin == 0,
        epoch=np.repeat(numbers, [len(epoch) for epoch in lengths]),
    )

"""Dropout whose masks do not depend on how a batch is split over replicas and micro-batches.

Keras draws a mask for the whole batch from a counter in each layer, so masks differ between replicas and after a run is
resumed. Here the mask of an example is a pure function of the step's seed, the layer's name and the example's index in
the global batch.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import math
import zlib
from collections.abc import Iterator

import keras
import tensorflow as tf

_PHILOX = 1  # its output is the same on every kind of device
_WORDS_PER_COUNT = 4  # what Philox makes of one value of its counter, 32 bits each
_DRAWS = 2**16  # as many integers can be drawn, two from a word: random bits are what dropout costs most


@dataclasses.dataclass(frozen=True)
class _Stream:
    """The random stream of a step: Philox key [1] and upper counter word [], from the seed, and its first example."""

    key: tf.Tensor
    counter_high: tf.Tensor
    first_example: tf.Tensor


_stream: contextvars.ContextVar[_Stream | None] = contextvars.ContextVar("draws", default=None)


@contextlib.contextmanager
def draws(seed: tf.Tensor, first_example: tf.Tensor | int = 0) -> Iterator[None]:
    """Context in which every `Dropout` draws from `seed`.

    Enter it in the thread that calls the model, i.e. inside the function passed to `strategy.run`.

    Args:
        seed: [2], int32 or int64; must differ from step to step.
        first_example: index of the first example in the global batch.
    """
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    token = _stream.set(
        _Stream(key=key, counter_high=tf.bitcast(counter[1], tf.int64), first_example=tf.cast(first_example, tf.int64))
    )
    try:
        yield
    finally:
        _stream.reset(token)


@keras.saving.register_keras_serializable(package="tf_models")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout` that draws from the seed of `draws` inside that context, and from its own seed elsewhere.

    `noise_shape=(None, 1, 1, 1)` gives stochastic depth: it drops whole examples.
    """

    def call(self, inputs, training=False):
        stream = _stream.get()
        if stream is None or not training or self.rate == 0:
            return super().call(inputs, training=training)
        if self.rate == 1:
            return tf.zeros_like(inputs)
        if self.noise_shape is not None and self.noise_shape[0] is not None:
            stream = dataclasses.replace(stream, first_example=tf.constant(0, tf.int64))  # one mask for all examples
        drawn = _draw(stream, zlib.crc32(self.name.encode()), self._mask_shape(inputs))
        keep = drawn >= tf.constant(min(round(_DRAWS * (self.rate - 0.5)), _DRAWS // 2 - 1), drawn.dtype)
        return inputs * (tf.cast(keep, inputs.dtype) * tf.cast(1 / (1 - self.rate), inputs.dtype))

    def _mask_shape(self, inputs) -> list[int | tf.Tensor]:
        """Returns the shape of the mask, with Python integers for known sizes."""
        noise_shape = self.noise_shape or (None,) * inputs.shape.rank
        dynamic = tf.shape(inputs)
        known = [given or size for given, size in zip(noise_shape, inputs.shape, strict=True)]
        return [dynamic[axis] if size is None else size for axis, size in enumerate(known)]


def _draw(stream: _Stream, layer: int, shape: list[int | tf.Tensor]) -> tf.Tensor:
    """Draws int16 of `shape`, uniform from -2^15 to 2^15 - 1; row i belongs to example `first_example` + i.

    Each row starts at its own counter value, whatever its length, so it can be drawn alone. Draws integers because XLA
    and TensorFlow convert the same random bits to different fractions.
    """
    elements = math.prod(shape[1:])
    counts = (elements + 2 * _WORDS_PER_COUNT - 1) // (2 * _WORDS_PER_COUNT)
    counter = tf.stack([stream.first_example * tf.cast(counts, tf.int64), stream.counter_high + layer])
    drawn = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=tf.stack([shape[0], counts * _WORDS_PER_COUNT]),
        key=stream.key,
        counter=tf.bitcast(counter, tf.uint64),
        alg=_PHILOX,
        dtype=tf.int32,
    )
    halves = tf.reshape(tf.bitcast(drawn, tf.int16), tf.stack([shape[0], counts * 2 * _WORDS_PER_COUNT]))
    return tf.reshape(halves[:, :elements], tf.stack(shape))

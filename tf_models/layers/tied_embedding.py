"""An embedding whose matrix also computes the output logits."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from tf_models.layers.counting import Shapes, exact_bytes


@keras.saving.register_keras_serializable(package="tf_models")
class TiedEmbedding(keras.layers.Layer):
    """Maps symbols to vectors [..., width]; `reverse=True` maps vectors [..., width] to logits of all symbols.

    `splits` (s1, s2, ...) divide a large vocabulary, sorted by frequency, for SHA-RNN's adaptive softmax: the head
    scores the first s1 symbols and K = len(splits) "tombstones", one for each of the parts s1..s2-1, ..., sK..V-1. The
    probability of a symbol in a part is the tombstone's times its probability within the part. Part k's tombstone is
    the k-th from the end, as in the author's code.

    Weights: `embeddings` [symbols, width], `bias` [symbols]; with splits also `tombstones` [K, width] and
    `tombstone_bias` [K].
    """

    def __init__(self, num_symbols: int, width: int, splits: tuple[int, ...] = (), initial_std: float = 0.05, **kwargs):
        super().__init__(**kwargs)
        self.num_symbols = num_symbols
        self.width = width
        self.splits = tuple(splits)
        self.initial_std = initial_std
        if list(self.splits) != sorted(set(self.splits)) or any(not 0 < s < num_symbols for s in self.splits):
            raise ValueError(f"splits={splits}: must rise, within the {num_symbols} symbols")

    def build(self, input_shape=None):
        normal = keras.initializers.RandomNormal(stddev=self.initial_std)
        self.embeddings = self.add_weight(name="embeddings", shape=(self.num_symbols, self.width), initializer=normal)
        self.bias = self.add_weight(name="bias", shape=(self.num_symbols,), initializer="zeros")
        if self.splits:
            count = len(self.splits)
            self.tombstones = self.add_weight(name="tombstones", shape=(count, self.width), initializer="zeros")
            self.tombstone_bias = self.add_weight(name="tombstone_bias", shape=(count,), initializer="zeros")

    def call(self, inputs, reverse=False):
        if not reverse:
            return look_up(tf.cast(self.embeddings, self.compute_dtype), inputs)
        return self._log_probabilities(inputs) if self.splits else self._scores(inputs, 0, self.num_symbols)

    def compute_output_spec(self, inputs, reverse=False):
        if reverse:
            precise = "float64" if self.compute_dtype == "float64" else "float32"
            return keras.KerasTensor((*inputs.shape[:-1], self.num_symbols), dtype=precise)
        return keras.KerasTensor((*inputs.shape, self.width), dtype=self.compute_dtype)

    def losses_of(self, vectors: tf.Tensor, symbols: tf.Tensor) -> tf.Tensor:
        """Cross-entropy [...], in nats, of symbols [...] given vectors [..., width]; in float32 or higher.

        With splits, each part is computed only for the symbols in it.
        """
        if not self.splits:
            scores = self._scores(vectors, 0, self.num_symbols)
            return tf.nn.sparse_softmax_cross_entropy_with_logits(symbols, scores)
        shape = tf.shape(symbols)
        vectors, symbols = tf.reshape(vectors, [-1, self.width]), tf.reshape(symbols, [-1])
        part = tf.searchsorted(tf.constant(self.splits, symbols.dtype), symbols, side="right")  # 0: the head
        first, count = self.splits[0], len(self.splits)
        of_head = tf.where(part == 0, symbols, first + count - part)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(of_head, self._head_scores(vectors))
        for number, (begin, end) in enumerate(self._parts(), start=1):
            members = tf.where(part == number)
            scores = self._scores(tf.gather_nd(vectors, members), begin, end)
            within = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.gather_nd(symbols, members) - begin, scores)
            losses = tf.tensor_scatter_nd_add(losses, members, within)
        return tf.reshape(losses, shape)

    def _parts(self) -> list[tuple[int, int]]:
        return list(zip(self.splits, (*self.splits[1:], self.num_symbols)))

    def _scores(self, vectors, begin: int, end: int):
        """Returns the logits of symbols begin..end-1: [..., end - begin]."""
        return _affine(vectors, tf.convert_to_tensor(self.embeddings)[begin:end], self.bias[begin:end])

    def _head_scores(self, vectors):
        """Returns the logits of the first symbols and of the tombstones."""
        weights = tf.concat([tf.convert_to_tensor(self.embeddings)[: self.splits[0]], self.tombstones], 0)
        return _affine(vectors, weights, tf.concat([self.bias[: self.splits[0]], self.tombstone_bias], 0))

    def _log_probabilities(self, vectors):
        head = tf.nn.log_softmax(self._head_scores(vectors))
        first, count = self.splits[0], len(self.splits)
        parts = [
            head[..., first + count - number, tf.newaxis] + tf.nn.log_softmax(self._scores(vectors, begin, end))
            for number, (begin, end) in enumerate(self._parts(), start=1)
        ]
        return tf.concat([head[..., :first], *parts], -1)

    def multiply_adds(self, inputs: Shapes, outputs: Shapes) -> int:
        """Counts the products of all logits, including tombstones; a look-up has none."""
        if not gives_scores(inputs, outputs):
            return 0
        rows = self.num_symbols + len(self.splits)
        return math.prod(outputs[0][:-1]) * rows * self.width

    def bytes_inside(self, inputs: Shapes, outputs: Shapes, element_bytes: int) -> int:
        """Counts the logits; with splits, those of the head."""
        if not gives_scores(inputs, outputs):
            return 0
        scores = self.splits[0] + len(self.splits) if self.splits else self.num_symbols
        return exact_bytes(element_bytes) * math.prod(outputs[0][:-1]) * scores

    def get_config(self):
        options = ("num_symbols", "width", "splits", "initial_std")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}


def gives_scores(inputs: Shapes, outputs: Shapes) -> bool:
    """Returns whether a call computed logits; a look-up adds an axis instead."""
    return len(inputs[0]) == len(outputs[0])


@tf.custom_gradient
def look_up(embeddings, symbols):
    """Rows of embeddings [symbols, width]. The gradient is dense, like that of the softmax it is added to."""

    def gradient(upstream):
        rows = tf.reshape(upstream, [-1, embeddings.shape[1]])
        return tf.math.unsorted_segment_sum(rows, tf.reshape(symbols, [-1]), embeddings.shape[0]), None

    return tf.gather(embeddings, symbols), gradient


def _affine(vectors, weights, bias):
    """Multiplies vectors [..., width] by weights [rows, width] and adds the bias, in float32 or higher."""
    rows = tf.reshape(vectors, [-1, vectors.shape[-1]])
    scores = tf.matmul(rows, tf.cast(weights, vectors.dtype), transpose_b=True)
    scores = tf.reshape(scores, tf.concat([tf.shape(vectors)[:-1], [weights.shape[0]]], 0))
    precise = tf.cast(scores, tf.float32) if scores.dtype in (tf.float16, tf.bfloat16) else scores
    return precise + tf.cast(bias, precise.dtype)

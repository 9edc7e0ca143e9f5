"""Embeddings with positional encodings (Vaswani et al. 2017, sections 3.4 and 3.5)."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from tf_models.layers.attention import precise
from tf_models.layers.counting import Shapes, exact_bytes
from tf_models.layers.tied_embedding import gives_scores, look_up


@keras.saving.register_keras_serializable(package="tf_models")
class PositionedEmbedding(keras.layers.Layer):
    """Maps symbols [batch, time] to sqrt(width) * embeddings + positional encodings: [batch, time, width].

    Positions count from 0 unless `positions` [time] int32 is given. `reverse=True` maps vectors [..., width] to logits
    of all symbols in float32 or higher: products with the unscaled embeddings, without a bias.

    Weights: `embeddings` [symbols, width], normal with variance 1 / width; 0 for symbol 0 (padding).
    """

    def __init__(self, num_symbols: int, width: int, **kwargs):
        super().__init__(**kwargs)
        self.num_symbols = num_symbols
        self.width = width

    def build(self, input_shape=None):
        self.embeddings = self.add_weight(
            name="embeddings", shape=(self.num_symbols, self.width), initializer=_normal_but_for_padding
        )

    def call(self, inputs, positions=None, reverse=False):
        embeddings = tf.cast(self.embeddings, self.compute_dtype)
        if reverse:
            scores = tf.matmul(tf.reshape(inputs, [-1, self.width]), embeddings, transpose_b=True)
            return precise(tf.reshape(scores, tf.concat([tf.shape(inputs)[:-1], [self.num_symbols]], 0)))
        if positions is None:
            positions = tf.range(tf.shape(inputs)[1])
        places = sinusoids(positions, self.width, precise(embeddings).dtype)
        return look_up(embeddings, inputs) * math.sqrt(self.width) + tf.cast(places, self.compute_dtype)

    def compute_output_spec(self, inputs, positions=None, reverse=False):
        if reverse:
            dtype = "float64" if self.compute_dtype == "float64" else "float32"
            return keras.KerasTensor((*inputs.shape[:-1], self.num_symbols), dtype=dtype)
        return keras.KerasTensor((*inputs.shape, self.width), dtype=self.compute_dtype)

    def multiply_adds(self, inputs: Shapes, outputs: Shapes) -> int:
        """Counts the products of the logits; a look-up has none."""
        return math.prod(outputs[0]) * self.width if gives_scores(inputs, outputs) else 0

    def bytes_inside(self, inputs: Shapes, outputs: Shapes, element_bytes: int) -> int:
        """Counts the logits."""
        return exact_bytes(element_bytes) * math.prod(outputs[0]) if gives_scores(inputs, outputs) else 0

    def get_config(self):
        return {**super().get_config(), "num_symbols": self.num_symbols, "width": self.width}


def sinusoids(positions: tf.Tensor, width: int, dtype: tf.DType) -> tf.Tensor:
    """Returns sin(p w) in the first and cos(p w) in the second half of features, for positions p [time]: [time, width].

    w falls geometrically from 1 to 1/10000 inclusive, as in tensor2tensor and fairseq. Section 3.5 of the paper
    alternates sines and cosines and ends before 1/10000.
    """
    half = width // 2
    falling = [10_000 ** (-i / (half - 1)) for i in range(half)]
    angles = tf.cast(positions, dtype)[:, tf.newaxis] * tf.constant(falling, dtype)
    return tf.concat([tf.sin(angles), tf.cos(angles)], 1)


def _normal_but_for_padding(shape, dtype=None):
    normal = keras.initializers.RandomNormal(stddev=shape[1] ** -0.5)(shape, dtype)
    return normal * tf.cast(tf.range(shape[0]) > 0, normal.dtype)[:, tf.newaxis]

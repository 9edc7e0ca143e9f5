"""SHA-RNN's single-headed attention over a memory of the layer's earlier inputs, with static gates.

Keys and values are the same tensor without a projection; their only weights are gates that do not depend on the data.
The custom gradient covers only the newest rows of keys and values, those of the segment: no gradient flows into the
memory of earlier segments.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tf_models.layers.counting import Shapes, size
from tf_models.layers.noise import Dropout
from tf_models.layers.standardise import standardise


@keras.saving.register_keras_serializable(package="tf_models")
class MemoryAttention(keras.layers.Layer):
    """softmax(q k' / sqrt(width)) v, where k and v are memory and segment; causal within the segment.

    Called with `inputs` for the queries and `memorised` for the memory [batch, time, width], the `memory`
    [batch, size, width], and `rows` [batch] int32, the number of filled rows in it (the last ones; the others are
    masked). Returns the output [batch, time, width] and the next memory, newest row last. Attention sees at most `size`
    rows (or `time`, if larger).

    Args:
        rate: dropout rate on queries, values and attention weights.
        collapsed: the value gate is one vector, `value_gate`; else it is computed from the over-parameterised form
            sigmoid(f) * tanh(c), (c, f) = sigmoid(value_gate) value_kernel + value_bias (`collapsed_gate`).
        initial_std: standard deviation of the initial query and value-gate kernels.

    Weights: query_kernel [width, width], query_bias, query_gamma, query_beta (layer norm of the query), query_gate,
    key_gate, value_gate [width], and unless collapsed value_kernel [width, 2 width], value_bias [2 width].
    """

    def __init__(self, rate: float = 0.0, collapsed: bool = False, initial_std: float = 0.05, epsilon=1e-12, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.collapsed = collapsed
        self.initial_std = initial_std
        self.epsilon = epsilon
        self._dropouts = {
            what: Dropout(rate, name=f"{self.name}_{what}_drop", dtype=self.dtype_policy)
            for what in ("query", "memory", "segment", "weights")
        }

    def build(self, inputs_shape, memorised_shape, memory_shape, rows_shape):
        width = inputs_shape[-1]
        normal = keras.initializers.RandomNormal(stddev=self.initial_std)
        self.query_kernel = self.add_weight(name="query_kernel", shape=(width, width), initializer=normal)
        for name, initializer in {
            "query_bias": "zeros",
            "query_gamma": "ones",
            "query_beta": "zeros",
            "query_gate": "zeros",
            "key_gate": "zeros",
            "value_gate": "zeros",
        }.items():
            setattr(self, name, self.add_weight(name=name, shape=(width,), initializer=initializer))
        if not self.collapsed:
            self.value_kernel = self.add_weight(name="value_kernel", shape=(width, 2 * width), initializer=normal)
            self.value_bias = self.add_weight(name="value_bias", shape=(2 * width,), initializer="zeros")

    def call(self, inputs, memorised, memory, rows, training=False):
        old = _seen(memory, memorised)
        keys = tf.stop_gradient(tf.concat([old, memorised], 1))
        query = self._drop("query", self._query(inputs), training)
        weights = self._drop("weights", _weights(query, keys, memorised, rows), training)
        segment = self._drop("segment", memorised, training)
        values = tf.concat([self._drop("memory", old, training), segment], 1)
        mix = _mix(weights, tf.stop_gradient(values), segment) * tf.cast(self.value(), inputs.dtype)
        return mix, tf.cast(keys[:, -memory.shape[1] :], self.variable_dtype)

    def attention_weights(self, inputs, memorised, memory, rows):
        """Returns the attention weights in inference: [batch, time, seen + time], with sum 1 for each query.

        Columns are in order of time: the memory first, the newest row of the segment last.
        """
        memorised, memory = tf.cast(memorised, inputs.dtype), tf.cast(memory, inputs.dtype)
        keys = tf.concat([_seen(memory, memorised), memorised], 1)
        return _weights(self._query(inputs), keys, memorised, rows)

    def _drop(self, what: str, values, training):
        return self._dropouts[what](values, training=training)

    def _query(self, inputs):
        """Returns queries multiplied by the gates of queries and keys (the product of both is the same)."""
        rows = tf.reshape(inputs, [-1, inputs.shape[-1]])
        projected = tf.matmul(rows, tf.cast(self.query_kernel, inputs.dtype)) + tf.cast(self.query_bias, inputs.dtype)
        gates = tf.sigmoid(tf.convert_to_tensor(self.query_gate)) * tf.sigmoid(tf.convert_to_tensor(self.key_gate))
        gates *= inputs.shape[-1] ** -0.5
        scale, shift = (tf.cast(weight * gates, inputs.dtype) for weight in (self.query_gamma, self.query_beta))
        return tf.reshape(standardise(projected, self.epsilon) * scale + shift, tf.shape(inputs))

    def value(self) -> tf.Tensor:
        """The value gate [width], a vector that does not depend on the data."""
        gate = tf.convert_to_tensor(self.value_gate)
        if self.collapsed:
            return gate
        return collapsed_gate(gate, tf.convert_to_tensor(self.value_kernel), tf.convert_to_tensor(self.value_bias))

    def compute_output_spec(self, inputs, memorised, memory, rows, training=False):
        mix = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        return mix, keras.KerasTensor(memory.shape, dtype=self.variable_dtype)

    def multiply_adds(self, inputs: Shapes, outputs: Shapes) -> int:
        """Counts at every position the query kernel and the products with a full memory, as keys and as values."""
        (time, width), (memory_size, _) = outputs
        return time * (size(self.query_kernel) + 2 * memory_size * width)

    def bytes_inside(self, inputs: Shapes, outputs: Shapes, element_bytes: int) -> int:
        """Counts queries before and after gating, the mix, two masks; weights, their mask and product; values."""
        (time, width), (memory_size, _) = outputs
        masks = 1 if self.rate else 0
        of_position = (3 + 2 * masks) * width + (1 + 2 * masks) * memory_size
        return element_bytes * (time * of_position + memory_size * width)

    def get_config(self):
        options = ("rate", "collapsed", "initial_std", "epsilon")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}


def collapsed_gate(gate, kernel, bias):
    """Computes the value gate [width] from its over-parameterised form: gate [width], kernel [width, 2 width], bias."""
    c, f = tf.split(tf.linalg.matvec(kernel, tf.sigmoid(gate), transpose_a=True) + bias, 2)
    return tf.sigmoid(f) * tf.tanh(c)


def _seen(memory, segment):
    """Returns the rows of memory that attention sees besides those of the segment."""
    size = memory.shape[1]
    return memory[:, size - tf.maximum(size - tf.shape(segment)[1], 0) :]


def _weights(query, keys, newest, rows):
    """Computes softmax(query keys') over unmasked keys: [batch, time, rows of keys]."""
    time = tf.shape(newest)[1]
    mask = _mask(time, tf.shape(keys)[1] - time, rows, query.dtype)
    return tf.nn.softmax(_scores(query, keys, newest) + mask)


def _mask(time, kept, rows, dtype):
    """Returns 0 where query t may attend, else minus infinity: [batch, time, kept + time].

    Query t may attend to the `rows` newest of the `kept` rows of memory, and to rows 0..t of its own segment.
    """
    place = tf.range(kept + time)
    visible = (place >= kept - rows[:, tf.newaxis])[:, tf.newaxis] & (place <= kept + tf.range(time)[:, tf.newaxis])
    return tf.where(visible, tf.zeros((), dtype), tf.constant(-np.inf, dtype))


@tf.custom_gradient
def _scores(query, keys, newest):
    """Computes query keys' [batch, time, rows]; the gradient of keys flows only to `newest`, their last rows."""

    def gradient(upstream):
        of_newest = tf.matmul(upstream[:, :, -tf.shape(newest)[1] :], query, transpose_a=True)
        return tf.matmul(upstream, keys), None, of_newest

    return tf.matmul(query, keys, transpose_b=True), gradient


@tf.custom_gradient
def _mix(weights, values, newest):
    """Computes weights values [batch, time, width]; the gradient of values flows only to `newest`, their last rows."""

    def gradient(upstream):
        of_newest = tf.matmul(weights[:, :, -tf.shape(newest)[1] :], upstream, transpose_a=True)
        return tf.matmul(upstream, values, transpose_b=True), None, of_newest

    return tf.matmul(weights, values), gradient

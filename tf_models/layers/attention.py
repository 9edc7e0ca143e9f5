"""Multi-head attention (Vaswani et al. 2017, section 3.2), over whole sequences or one position at a time.

Queries, keys and values of the same tensor are computed by one matrix product. Softmax is computed in float32 or
higher. Masked scores get a large negative number instead of minus infinity, so that rows that consist of padding only
stay finite.
"""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from tf_models.layers.counting import Shapes, size, twice_bytes

HIDDEN = -1e9  # added to masked scores: their softmax is 0


class _Attention(keras.layers.Layer):
    """Base class of self-attention and cross-attention: `heads`, and the output projection.

    Kernels are initialised as in fairseq: `output_kernel` with Xavier uniform; those of queries, keys and values each
    with Xavier uniform scaled by 1 / sqrt(2). Biases are initialised to 0.
    """

    def __init__(self, heads: int, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads

    def _add_weights(self, width: int, parts: dict[str, int]):
        """Adds kernels [width, count * width] and biases; `parts` maps prefixes to `count`, the projections in one."""
        limit = math.sqrt(1.5 / width)  # Xavier's sqrt(6 / (width + width)) / sqrt(2)
        scaled = keras.initializers.RandomUniform(-limit, limit)
        for name, count, initializer in [
            *((f"{prefix}_", count, scaled) for prefix, count in parts.items()),
            ("output_", 1, "glorot_uniform"),
        ]:
            kernel = self.add_weight(name=f"{name}kernel", shape=(width, count * width), initializer=initializer)
            bias = self.add_weight(name=f"{name}bias", shape=(count * width,), initializer="zeros")
            setattr(self, f"{name}kernel", kernel)
            setattr(self, f"{name}bias", bias)

    def _project(self, inputs, prefix: str):
        """Applies the kernel and bias of a prefix to inputs [..., width]."""
        kernel, bias = (tf.cast(getattr(self, f"{prefix}_{part}"), inputs.dtype) for part in ("kernel", "bias"))
        rows = tf.matmul(tf.reshape(inputs, [-1, inputs.shape[-1]]), kernel)
        return tf.reshape(tf.nn.bias_add(rows, bias), tf.concat([tf.shape(inputs)[:-1], [kernel.shape[1]]], 0))

    def _heads_of(self, projected, count: int) -> list:
        """Splits [batch, time, count * width] into `count` tensors [batch, heads, time, width / heads]."""
        batch, time = tf.unstack(tf.shape(projected)[:2])
        parts = tf.reshape(projected, [batch, time, count, self.heads, projected.shape[-1] // (count * self.heads)])
        return tf.unstack(tf.transpose(parts, [2, 0, 3, 1, 4]))

    def _output(self, mixed):
        """Projects the concatenated heads [batch, heads, time, width / heads] to [batch, time, width]."""
        batch, time = tf.shape(mixed)[0], tf.shape(mixed)[2]
        width = self.heads * mixed.shape[-1]
        return self._project(tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch, time, width]), "output")

    def compute_output_spec(self, inputs, *args):
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def bytes_inside(self, inputs: Shapes, outputs: Shapes, element_bytes: int) -> int:
        """Counts queries, keys, values, their mix, and each head's weights in float32 and in compute precision."""
        time, width = outputs[0]
        return time * (element_bytes * 4 * width + twice_bytes(element_bytes) * self.heads * time)

    def get_config(self):
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable(package="tf_models")
class SelfAttention(_Attention):
    """Attention of a sequence [batch, time, width] to itself.

    `visible` [batch, time] bool is False at masked positions.
    If `causal`, a position attends to itself and earlier positions only.

    Weights: `input_kernel` [width, 3 width] and `input_bias` [3 width] for queries, keys and values, in this order;
    `output_kernel` [width, width], `output_bias` [width].
    """

    def __init__(self, heads: int, causal: bool = False, **kwargs):
        super().__init__(heads, **kwargs)
        self.causal = causal

    def build(self, inputs_shape, visible_shape=None):
        self._add_weights(inputs_shape[-1], {"input": 3})

    def call(self, inputs, visible=None):
        query, keys, values = self._heads_of(self._project(inputs, "input"), 3)
        mask = None if visible is None else visible[:, tf.newaxis, tf.newaxis]
        if self.causal:
            place = tf.range(tf.shape(inputs)[1])
            before = place <= place[:, tf.newaxis]
            mask = before if mask is None else mask & before
        return self._output(_mix(query, keys, values, mask))

    def step(self, inputs, keys, values):
        """Computes the next position of several sequences from the cached keys and values of earlier positions.

        Args:
            inputs: [batch, sequences, width].
            keys, values: of earlier positions, [batch, sequences, heads, time, width / heads].

        Returns:
            The output [batch, sequences, width], and the keys and values including the new position.
        """
        projected = self._project(inputs, "input")
        batch, sequences = tf.unstack(tf.shape(inputs)[:2])
        parts = tf.reshape(projected, [batch, sequences, 3, self.heads, 1, inputs.shape[-1] // self.heads])
        query, key, value = tf.unstack(parts, axis=2)
        keys, values = tf.concat([keys, key], 3), tf.concat([values, value], 3)
        mixed = tf.reshape(_mix(query, keys, values, None), tf.shape(inputs))
        return self._project(mixed, "output"), keys, values

    def multiply_adds(self, inputs: Shapes, outputs: Shapes) -> int:
        """Counts both kernels at every position, and products with all keys and values, including masked ones."""
        time, width = outputs[0]
        return time * (size(self.input_kernel, self.output_kernel) + 2 * time * width)

    def get_config(self):
        return {**super().get_config(), "causal": self.causal}


@keras.saving.register_keras_serializable(package="tf_models")
class CrossAttention(_Attention):
    """Attention of `inputs` [batch, time, width] to a `memory` [batch, memory time, width] of the same width.

    `visible` [batch, memory time] bool is False at masked positions of the memory.

    Weights: `query_kernel` [width, width], `query_bias` [width]; `memory_kernel` [width, 2 width], `memory_bias`
    [2 width] for keys and values, in this order; `output_kernel` [width, width], `output_bias` [width].
    """

    def build(self, inputs_shape, memory_shape, visible_shape):
        self._add_weights(inputs_shape[-1], {"query": 1, "memory": 2})

    def call(self, inputs, memory, visible):
        return self.attend(inputs, *self.keys_and_values(memory), visible)

    def multiply_adds(self, inputs: Shapes, outputs: Shapes) -> int:
        """Counts as `SelfAttention`, with the kernel of keys and values applied to every position of the memory."""
        (time, width), (memory_time, _) = inputs[:2]
        of_inputs = time * (size(self.query_kernel, self.output_kernel) + 2 * memory_time * width)
        return of_inputs + memory_time * size(self.memory_kernel)

    def keys_and_values(self, memory) -> list:
        """Returns the keys and values of a memory, for `attend`: [batch, heads, memory time, width / heads] each."""
        return self._heads_of(self._project(memory, "memory"), 2)

    def attend(self, inputs, keys, values, visible):
        """Does the same as `call`, with keys and values computed beforehand."""
        (query,) = self._heads_of(self._project(inputs, "query"), 1)
        return self._output(_mix(query, keys, values, visible[:, tf.newaxis, tf.newaxis]))


def precise(tensor: tf.Tensor) -> tf.Tensor:
    """Casts half precision to float32; returns other tensors unchanged."""
    return tf.cast(tensor, tf.float32) if tensor.dtype in (tf.float16, tf.bfloat16) else tensor


def _mix(query, keys, values, visible):
    """Computes softmax(query keys' / sqrt(n)) values over the last two axes: [..., time, n].

    `visible` is bool and broadcasts to [..., time, memory time]; None masks nothing.
    """
    scores = precise(tf.matmul(query * query.shape[-1] ** -0.5, keys, transpose_b=True))
    if visible is not None:
        scores += tf.where(visible, tf.zeros([], scores.dtype), tf.constant(HIDDEN, scores.dtype))
    return tf.matmul(tf.cast(tf.nn.softmax(scores), values.dtype), values)

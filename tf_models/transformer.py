"""The encoder-decoder Transformer (Vaswani et al. 2017, arXiv 1706.03762), as fairseq's base configuration has it.

The network that Deep Double Descent (Nakkiran et al. 2019, arXiv 1912.02292) translates with: six layers on either
side, eight heads, feed-forward layers four times as wide as the rest, no dropout. Layer normalisation follows each
residual sum (post-norm), and nothing comes after the last one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import keras
import tensorflow as tf

from tf_models.arguments import is_count, require, require_counts, require_one_of
from tf_models.layers.attention import CrossAttention, SelfAttention
from tf_models.layers.counting import Shapes, twice_bytes
from tf_models.layers.positions import PositionedEmbedding
from tf_models.layers.standardise import standardise
from tf_models.registry import register_model

PADDING = 0  # the symbol that fills up short texts


@register_model
def transformer(
    *,
    num_classes: int,
    d_model: int = 512,
    layers: int = 6,
    heads: int = 8,
    feed_forward: int | None = None,
    shared_embeddings: Literal["decoder", "none"] = "decoder",
) -> keras.Model:
    """A Transformer over a vocabulary of `num_classes` symbols, 0 being padding.

    Maps {"source": [batch, source time], "target": [batch, target time]} int32 to logits [batch, target time, symbols]
    of the symbols after each of `target`, which is the text shifted right by one. Padding of the source is never looked
    at, and no position sees a later one; so padding changes nothing if it comes at the end of a text.

    Args:
        layers: of the encoder, and as many of the decoder.
        feed_forward: the width of feed-forward layers' middle; 4 d_model if not given.
        shared_embeddings: "decoder": the decoder's embedding gives the logits too, as fairseq's recipe for IWSLT'14
            has it; "none": a matrix of its own does. The encoder's embedding is always another one. Neither has a bias.
    """
    require(is_count(num_classes) and num_classes > 1, "num_classes", num_classes, "an integer of 2 or more")
    require_counts(d_model=d_model, layers=layers, heads=heads)
    require(d_model % heads == 0, "d_model", d_model, f"a multiple of heads={heads}")
    require(d_model % 2 == 0 and d_model >= 4, "d_model", d_model, "even, and 4 or more")
    require(feed_forward is None or is_count(feed_forward), "feed_forward", feed_forward, "an integer of 1 or more")
    require_one_of(("decoder", "none"), shared_embeddings=shared_embeddings)

    sides = ("source", "target") if shared_embeddings == "decoder" else ("source", "target", "output")
    parts = [PositionedEmbedding(num_classes, d_model, name=f"{side}_embedding") for side in sides]
    for i in range(layers):
        for attention in (
            SelfAttention(heads, name=f"encoder{i}_attention"),
            SelfAttention(heads, causal=True, name=f"decoder{i}_attention"),
            CrossAttention(heads, name=f"decoder{i}_source_attention"),
        ):
            parts += [attention, AddAndNorm(name=f"{attention.name}_norm")]
        for name in (f"encoder{i}", f"decoder{i}"):
            parts += [
                keras.layers.Dense(feed_forward or 4 * d_model, activation="relu", name=f"{name}_expand"),
                keras.layers.Dense(d_model, name=f"{name}_fold"),
                AddAndNorm(name=f"{name}_fold_norm"),
            ]
    network = Network(parts)
    source, target = (keras.Input([None], dtype="int32", name=name) for name in ("source", "target"))
    logits = network.decode(target, *network.encode(source))
    return keras.Model({"source": source, "target": target}, logits, name="transformer")


class Cache(NamedTuple):
    """Keys and values of a decoder layer: of earlier positions of several texts per source, and of the sources.

    Shapes: of target positions [batch, texts, heads, time, width / heads], of the source [batch, heads, source time,
    width / heads].
    """

    keys: tf.Tensor
    values: tf.Tensor
    source_keys: tf.Tensor
    source_values: tf.Tensor


class Network:
    """The layers of a Transformer by name, and how they follow each other: all positions at once, or one by one.

    Args:
        parts: those of a finished model are its `layers`.
    """

    def __init__(self, parts: Sequence[keras.Layer]):
        self._parts = {part.name: part for part in parts}
        self._layers = range(sum(isinstance(part, CrossAttention) for part in parts))

    def encode(self, source):
        """Encodes source [batch, time] to [batch, time, width]; also returns which positions are text."""
        is_text = keras.ops.not_equal(source, PADDING)
        x = self._parts["source_embedding"](source)
        for i in self._layers:
            x = self._add(f"encoder{i}_attention", x, is_text)
            x = self._feed_forward(f"encoder{i}", x)
        return x, is_text

    def decode(self, target, memory, is_text):
        """Logits [batch, target time, symbols], given what `encode` returned."""
        x = self._parts["target_embedding"](target)
        for i in self._layers:
            x = self._add(f"decoder{i}_attention", x)
            x = self._add(f"decoder{i}_source_attention", x, memory, is_text)
            x = self._feed_forward(f"decoder{i}", x)
        return self._logits(x)

    def begin(self, memory, texts: int) -> list[Cache]:
        """One cache a decoder layer, for `texts` texts a source of which no position was read."""
        caches = []
        for i in self._layers:
            attention = self._parts[f"decoder{i}_source_attention"]
            keys, values = attention.keys_and_values(memory)
            none = tf.zeros([tf.shape(memory)[0], texts, attention.heads, 0, keys.shape[-1]], keys.dtype)
            caches.append(Cache(none, none, keys, values))
        return caches

    def step(self, symbols, position, caches: list[Cache], is_text):
        """Reads one more symbol of each text; costs what one position of `decode` does.

        Args:
            symbols: [batch, texts] int32.
            position: [] int32, of these symbols: how many were read before.

        Returns:
            Logits [batch, texts, symbols] of the symbols after them, and the next caches.
        """
        x = self._parts["target_embedding"](symbols, positions=position[tf.newaxis])
        after = []
        for i, cache in enumerate(caches):
            mix, keys, values = self._parts[f"decoder{i}_attention"].step(x, cache.keys, cache.values)
            x = self._parts[f"decoder{i}_attention_norm"](x, mix)
            # A source's texts look at it as positions of one text would.
            of_source = self._parts[f"decoder{i}_source_attention"]
            mix = of_source.attend(x, cache.source_keys, cache.source_values, is_text)
            x = self._parts[f"decoder{i}_source_attention_norm"](x, mix)
            x = self._feed_forward(f"decoder{i}", x)
            after.append(cache._replace(keys=keys, values=values))
        return self._logits(x), after

    def _add(self, name: str, x, *to):
        return self._parts[f"{name}_norm"](x, self._parts[name](x, *to))

    def _feed_forward(self, name: str, x):
        return self._parts[f"{name}_fold_norm"](x, self._parts[f"{name}_fold"](self._parts[f"{name}_expand"](x)))

    def _logits(self, x):
        embedding = self._parts.get("output_embedding", self._parts["target_embedding"])
        return embedding(x, reverse=True)


@keras.saving.register_keras_serializable(package="tf_models")
class AddAndNorm(keras.layers.Layer):
    """Layer normalisation of the sum of two tensors [..., features], with statistics in float32 at least.

    Weights: `gamma`, `beta` [features], 1 and 0 at the start. Epsilon is 1e-5, fairseq's.
    """

    gradient_reads = "nothing"

    def build(self, inputs_shape, update_shape):
        self.gamma = self.add_weight(name="gamma", shape=(inputs_shape[-1],), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(inputs_shape[-1],), initializer="zeros")

    def call(self, inputs, update):
        outputs = standardise(inputs + update, epsilon=1e-5)
        return outputs * tf.cast(self.gamma, outputs.dtype) + tf.cast(self.beta, outputs.dtype)

    def multiply_adds(self, inputs: Shapes, outputs: Shapes) -> int:
        """None, as of all normalisation."""
        return 0

    def bytes_inside(self, inputs: Shapes, outputs: Shapes, element_bytes: int) -> int:
        """The standardised sum."""
        return twice_bytes(element_bytes) * math.prod(outputs[0])

    def compute_output_spec(self, inputs, update):
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

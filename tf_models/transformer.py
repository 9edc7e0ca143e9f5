"""The encoder-decoder Transformer (Vaswani et al. 2017, arXiv 1706.03762) in fairseq's base configuration.

This is the translation network of Deep Double Descent (Nakkiran et al. 2019, arXiv 1912.02292): six encoder and six
decoder layers, eight heads, feed-forward layers of four times the model width, no dropout. Layer normalisation follows
each residual sum (post-norm); there is no final one.
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

PADDING = 0  # the symbol that pads short texts


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
    """Builds a Transformer over a vocabulary of `num_classes` symbols, of which 0 is padding.

    The model maps {"source": [batch, source time], "target": [batch, target time]} int32 to logits [batch, target time,
    symbols] for the symbol that follows each target position; `target` is the text shifted right by one. Source padding
    is masked and the decoder is causal, so padding at the end of a text has no effect.

    Args:
        layers: number of encoder layers, and of decoder layers.
        feed_forward: width of the feed-forward layers; None: 4 * d_model.
        shared_embeddings: "decoder": the decoder's embedding also computes the logits, as in fairseq's recipe for
            IWSLT'14; "none": a separate matrix does. The encoder has its own embedding. Logits have no bias.
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
    """Cached keys and values of a decoder layer, for several texts per source.

    Shapes: earlier target positions [batch, texts, heads, time, width / heads]; source [batch, heads, source time,
    width / heads].
    """

    keys: tf.Tensor
    values: tf.Tensor
    source_keys: tf.Tensor
    source_values: tf.Tensor


class Network:
    """Applies the layers of a Transformer to all positions at once, or to one position at a time.

    Args:
        parts: the layers, found by name; for an existing model, its `layers`.
    """

    def __init__(self, parts: Sequence[keras.Layer]):
        self._parts = {part.name: part for part in parts}
        self._layers = range(sum(isinstance(part, CrossAttention) for part in parts))

    def encode(self, source):
        """Encodes source [batch, time] to [batch, time, width]; also returns the mask of non-padding."""
        is_text = keras.ops.not_equal(source, PADDING)
        x = self._parts["source_embedding"](source)
        for i in self._layers:
            x = self._add(f"encoder{i}_attention", x, is_text)
            x = self._feed_forward(f"encoder{i}", x)
        return x, is_text

    def decode(self, target, memory, is_text):
        """Returns logits [batch, target time, symbols], given the outputs of `encode`."""
        x = self._parts["target_embedding"](target)
        for i in self._layers:
            x = self._add(f"decoder{i}_attention", x)
            x = self._add(f"decoder{i}_source_attention", x, memory, is_text)
            x = self._feed_forward(f"decoder{i}", x)
        return self._logits(x)

    def begin(self, memory, texts: int) -> list[Cache]:
        """Returns an empty cache for each decoder layer, for `texts` texts per source."""
        caches = []
        for i in self._layers:
            attention = self._parts[f"decoder{i}_source_attention"]
            keys, values = attention.keys_and_values(memory)
            none = tf.zeros([tf.shape(memory)[0], texts, attention.heads, 0, keys.shape[-1]], keys.dtype)
            caches.append(Cache(none, none, keys, values))
        return caches

    def step(self, symbols, position, caches: list[Cache], is_text):
        """Reads the next symbol of each text, at the cost of one position of `decode`.

        Args:
            symbols: [batch, texts] int32.
            position: [] int32, the number of symbols read before.

        Returns:
            Logits [batch, texts, symbols] for the following symbols, and the updated caches.
        """
        x = self._parts["target_embedding"](symbols, positions=position[tf.newaxis])
        after = []
        for i, cache in enumerate(caches):
            mix, keys, values = self._parts[f"decoder{i}_attention"].step(x, cache.keys, cache.values)
            x = self._parts[f"decoder{i}_attention_norm"](x, mix)
            # The texts of a source attend to it like the positions of one text.
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
    """Layer normalisation of the sum of two tensors [..., features], with statistics in float32 or higher.

    Weights: `gamma`, `beta` [features], initialised to 1 and 0. Epsilon is 1e-5, as in fairseq.
    """

    gradient_reads = "nothing"

    def build(self, inputs_shape, update_shape):
        self.gamma = self.add_weight(name="gamma", shape=(inputs_shape[-1],), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(inputs_shape[-1],), initializer="zeros")

    def call(self, inputs, update):
        outputs = standardise(inputs + update, epsilon=1e-5)
        return outputs * tf.cast(self.gamma, outputs.dtype) + tf.cast(self.beta, outputs.dtype)

    def multiply_adds(self, inputs: Shapes, outputs: Shapes) -> int:
        """Returns 0: normalisation is not counted."""
        return 0

    def bytes_inside(self, inputs: Shapes, outputs: Shapes, element_bytes: int) -> int:
        """Counts the standardised sum."""
        return twice_bytes(element_bytes) * math.prod(outputs[0])

    def compute_output_spec(self, inputs, update):
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

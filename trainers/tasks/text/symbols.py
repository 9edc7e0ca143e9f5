"""The loss of symbols under a language model."""

from __future__ import annotations

import keras
import tensorflow as tf


def symbol_losses(model: keras.Model, hidden: tf.Tensor, symbols: tf.Tensor) -> tf.Tensor:
    """Cross-entropy [lanes, time], in nats, of symbols, given the hidden states from which the logits are computed."""
    return model.get_layer("embedding").losses_of(hidden, symbols)

"""The initial state of a model that reads a text segment by segment."""

from __future__ import annotations

import keras
import tensorflow as tf


def empty_state(model: keras.Model, batch: int | tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the state before the first symbol of a text: zeros.

    Args:
        model: a model with inputs {"tokens", "state"}, where "state" is a dict of tensors [batch, ...].
        batch: the number of texts.
    """
    return {name: tf.zeros([batch, *part.shape[1:]], part.dtype) for name, part in model.input["state"].items()}

"""A ReLU network of two layers for regression (Heckel & Yilmaz 2020, arXiv 2007.10099, Figure 3).

Initialised as in the authors' code: hidden weights with N(0, hidden_scale^2 / (3 inputs)), output weights with
U(-1, 1) * output_scale / sqrt(hidden), biases of both with PyTorch's U(-1, 1) / sqrt(inputs of the layer).
"""

from __future__ import annotations

import math

import keras
from keras import initializers, layers

from tf_models.arguments import require_counts, require_positive
from tf_models.registry import register_model


@register_model
def two_layer(
    inputs: int = 50,
    hidden: int = 250,
    hidden_scale: float = 1.0,
    output_scale: float = 1.0,
    name: str = "two_layer",
) -> keras.Model:
    """Builds a map from [batch, inputs] to [batch, 1], in float32 under any policy.

    Args:
        inputs: size of an example.
        hidden: units of the hidden layer.
        hidden_scale: scale of the initial hidden weights, not of the biases.
        output_scale: scale of the initial output weights.

    Raises:
        ValueError: an argument is out of its range.
    """
    require_counts(inputs=inputs, hidden=hidden)
    require_positive(hidden_scale=hidden_scale, output_scale=output_scale)
    x = keras.Input((inputs,), dtype="float32")
    hidden_layer = layers.Dense(
        hidden,
        activation="relu",
        kernel_initializer=initializers.RandomNormal(stddev=hidden_scale / math.sqrt(3 * inputs)),
        bias_initializer=_uniform(1 / math.sqrt(inputs)),
        dtype="float32",
        name="hidden",
    )
    output_layer = layers.Dense(
        1,
        kernel_initializer=_uniform(output_scale / math.sqrt(hidden)),
        bias_initializer=_uniform(1 / math.sqrt(hidden)),
        dtype="float32",
        name="output",
    )
    return keras.Model(x, output_layer(hidden_layer(x)), name=name)


def _uniform(bound: float) -> initializers.Initializer:
    return initializers.RandomUniform(-bound, bound)

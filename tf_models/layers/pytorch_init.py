"""PyTorch's default initialisation of convolutions and dense layers."""

from __future__ import annotations

import math

from keras import initializers


def like_pytorch(fan_in: int) -> dict[str, initializers.Initializer]:
    """Returns layer arguments that initialise kernel and biases with U(-1, 1) / sqrt(fan_in).

    Args:
        fan_in: kernel height * kernel width * channels of a convolution, or inputs of a dense layer.
    """
    bound = 1 / math.sqrt(fan_in)
    # Two of them: an initializer of Keras draws the same numbers each time it is called.
    return {name: initializers.RandomUniform(-bound, bound) for name in ("kernel_initializer", "bias_initializer")}

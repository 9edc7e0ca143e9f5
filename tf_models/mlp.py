"""A network of one hidden layer, the smallest that shows double descent when trained on noisy labels.

It is not in the paper (Nakkiran et al. 2019, arXiv 1912.02292). Weights are initialised as in PyTorch, like those of
the paper's networks.
"""

from __future__ import annotations

import math

import keras
from keras import layers

from tf_models.arguments import require, require_classifier, require_counts
from tf_models.layers.pytorch_init import like_pytorch
from tf_models.registry import register_model


@register_model
def mlp(
    num_classes: int = 10,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    k: int = 64,
    name: str = "mlp",
) -> keras.Model:
    """Builds a network with k hidden ReLU units: 795 k + 10 parameters for 10 classes and 28 x 28 gray images.

    Input: normalised images [batch, height, width, channels]. Output: float32 logits [batch, num_classes].

    Args:
        num_classes: number of logits.
        input_shape: height, width and channels.
        k: hidden units.
        name: the name of the Keras model.

    Raises:
        ValueError: an argument is out of its range.
    """
    require_classifier(num_classes, input_shape)
    require(None not in input_shape, "input_shape", input_shape, "known: a unit has a weight for every pixel")
    require_counts(k=k)
    images = keras.Input(input_shape, name="images")
    x = layers.Flatten(name="flatten")(images)
    x = layers.Dense(k, name="hidden", **like_pytorch(math.prod(input_shape)))(x)
    x = layers.Activation("relu", name="hidden_relu")(x)
    # Float32 under every precision policy: it is small, and the loss needs exact logits.
    x = layers.Dense(num_classes, name="predictions", dtype="float32", **like_pytorch(k))(x)
    return keras.Model(images, x, name=name)

"""The five-layer CNN of Deep Double Descent (Nakkiran et al. 2019, arXiv 1912.02292; section 4, appendix B).

Four convolutions of widths k, 2k, 4k, 8k and a linear layer, as in the authors' released model file. Convolutions have
biases; weights are initialised as in PyTorch, and batch norm uses PyTorch's epsilon and momentum. As always in Keras,
the moving variance averages biased batch variances; PyTorch's are n / (n - 1) times as large, for n values per channel.
"""

from __future__ import annotations

import keras
from keras import layers

from tf_models.arguments import require, require_classifier, require_counts
from tf_models.layers.batch_norm import BatchNormalization
from tf_models.layers.pytorch_init import like_pytorch
from tf_models.registry import register_model


@register_model
def cnn5(
    num_classes: int = 10,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    k: int = 64,
    name: str = "cnn5",
) -> keras.Model:
    """Builds the network of 378 k^2 + 72 k + 8 k classes + classes parameters (at three channels).

    Input: normalised images [batch, height, width, channels]. Output: float32 logits [batch, num_classes].

    Args:
        num_classes: number of logits.
        input_shape: height, width and channels; height and width are multiples of 4.
        k: channels of the first convolution.
        name: the name of the Keras model.

    Raises:
        ValueError: an argument is out of its range.
    """
    require_classifier(num_classes, input_shape)
    height, width, _ = input_shape
    require(
        all(side is not None and side % 4 == 0 for side in (height, width)),
        "input_shape",
        input_shape,
        "of a height and a width that are multiples of 4, for two pools halve them",
    )
    require_counts(k=k)
    images = keras.Input(input_shape, name="images")
    x = _conv_bn_relu(images, k, "block1")
    rest = (height // 4, width // 4)  # 8 of the paper's 32 pixels
    for number, pool in enumerate((2, 2, rest), start=2):
        x = _conv_bn_relu(x, k * 2 ** (number - 1), f"block{number}")
        x = layers.MaxPooling2D(pool, name=f"block{number}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    # Float32 under every precision policy: it is small, and the loss needs exact logits.
    x = layers.Dense(num_classes, name="predictions", dtype="float32", **like_pytorch(8 * k))(x)
    return keras.Model(images, x, name=name)


def _conv_bn_relu(x, filters: int, name: str):
    x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_conv", **like_pytorch(9 * x.shape[-1]))(x)
    x = BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)

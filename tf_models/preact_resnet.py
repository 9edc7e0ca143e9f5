"""The preactivation ResNet-18 of Deep Double Descent (Nakkiran et al. 2019, arXiv 1912.02292; section 4, appendix B).

Blocks are those of He et al. 2016, "Identity Mappings in Deep Residual Networks" (arXiv 1603.05027, Figure 1b): batch
norm and ReLU come before each convolution. As in the authors' released model file, the stem is a 3x3 convolution alone,
and neither batch norm nor ReLU follows the last block. Weights are initialised as in PyTorch, and batch norm uses
PyTorch's epsilon and momentum. As always in Keras, the moving variance averages biased batch variances; PyTorch's are
n / (n - 1) times as large, for n values per channel.

The backbone's feature maps C0 to C3 are the sums at the end of the four stages, at strides 1, 2, 4 and 8, before the
batch norm and ReLU that the next layer starts with.
"""

from __future__ import annotations

import keras
from keras import layers

from tf_models.arguments import require_counts, require_images
from tf_models.layers.batch_norm import BatchNormalization
from tf_models.layers.pytorch_init import like_pytorch
from tf_models.registry import register_classifier


def preact_resnet18(
    input_shape: tuple[int | None, int | None, int] = (32, 32, 3),
    k: int = 64,
    name: str = "preact_resnet18",
) -> keras.Model:
    """Builds the backbone of a network of 2724 k^2 + 133 k + 8 k classes + classes parameters (at three channels).

    Input: normalised images [batch, height, width, channels]. Output: a dict of feature
    maps, C0 to C3.

    Args:
        input_shape: height, width and channels; height and width may be None.
        k: channels of the stem and the first stage; the others have 2k, 4k, 8k. The standard ResNet-18 has 64.
        name: the name of the Keras model.

    Raises:
        ValueError: an argument is out of its range.
    """
    require_images(input_shape)
    require_counts(k=k)
    images = keras.Input(input_shape, name="images")
    x = _conv(images, k, 3, 1, "conv1")
    levels = {}
    for stage, (filters, stride) in enumerate(((k, 1), (2 * k, 2), (4 * k, 2), (8 * k, 2)), start=2):
        x = _block(x, filters, stride, f"conv{stage}_block1")
        x = levels[f"C{stage - 2}"] = _block(x, filters, 1, f"conv{stage}_block2")
    return keras.Model(images, levels, name=name)


def head(x, /, num_classes: int = 10):
    """Returns logits [batch, num_classes] of the last feature map: global average pooling and a dense layer."""
    require_counts(num_classes=num_classes)
    # Float32 under every precision policy: it is small, and the loss needs exact logits.
    pooled = layers.GlobalAveragePooling2D(name="avg_pool", dtype="float32")(x)
    initial = like_pytorch(x.shape[-1])
    return layers.Dense(num_classes, name="predictions", dtype="float32", **initial)(pooled)


def _block(inputs, filters: int, stride: int, name: str):
    """Two convolutions plus the shortcut: the input, or a projection of the activated input if dimensions change.

    Maps [batch, height, width, channels] to [batch, ceil(height / stride), ceil(width / stride), filters].
    """
    activated = _bn_relu(inputs, f"{name}_1")
    changes = stride > 1 or inputs.shape[-1] != filters
    shortcut = _conv(activated, filters, 1, stride, f"{name}_0") if changes else inputs
    x = _conv(activated, filters, 3, stride, f"{name}_1")
    x = _conv(_bn_relu(x, f"{name}_2"), filters, 3, 1, f"{name}_2")
    return layers.Add(name=f"{name}_add")([shortcut, x])


def _bn_relu(x, name: str):
    x = BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)


def _conv(x, filters: int, kernel: int, stride: int, name: str):
    """A convolution without bias, padded symmetrically; padding="same" with stride 2 would pad the end only."""
    initializer = like_pytorch(kernel**2 * x.shape[-1])["kernel_initializer"]
    if kernel > 1 and stride > 1:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    padding = "same" if stride == 1 else "valid"
    arguments = dict(use_bias=False, kernel_initializer=initializer, name=f"{name}_conv")
    return layers.Conv2D(filters, kernel, stride, padding, **arguments)(x)


register_classifier("preact_resnet18", preact_resnet18, head)

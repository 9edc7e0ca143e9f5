"""ResNet (He, Zhang, Ren & Sun, CVPR 2016, arXiv 1512.03385) and its plain twins, for ImageNet and CIFAR-10.

Layer names are those of keras.applications. Differences follow the paper and the authors' released networks: no bias in
convolutions, epsilon 1e-5 in batch norm, symmetric zero padding, max pooling padded as in Caffe, shortcuts of option A,
B or C, and plain networks. Choices that the paper leaves open: He initialisation uses fan-in, the classifier is
initialised with N(0, 0.01) and zero biases (Goyal et al. 2017, section 5.1, for ImageNet), and moving statistics have a
momentum of 0.9 (fb.resnet.torch).

Feature maps of the ImageNet backbones: C2 to C5 are the outputs of conv2_x to conv5_x (Lin et al. 2017, "Feature
Pyramid Networks", section 3), after their ReLU; C1 is conv1 after its ReLU, before pooling. The CIFAR networks start at
stride 1, so their levels are C0 (conv2_x), C1 (conv3_x) and C2 (conv4_x): a level is always log2 of its stride.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import keras
from keras import layers

from tf_models.arguments import is_count, is_number, require, require_counts, require_images, require_one_of
from tf_models.layers.batch_norm import BatchNormalization
from tf_models.layers.convolution import PointwiseConv2D
from tf_models.layers.shortcut import ZeroPaddedIdentity
from tf_models.registry import register_classifier

IMAGENET_FILTERS = (64, 128, 256, 512)  # of the 3x3 convolutions in conv2_x to conv5_x (Table 1)
CIFAR_FILTERS = (16, 32, 64)  # section 4.2
SHORTCUTS = ("A", "B", "C")  # section 4.1
POOL_PADDING = {"same": ((0, 1), (0, 1)), "symmetric": 1}  # rows and columns of zeros, before and after


@dataclasses.dataclass(frozen=True)
class Conv:
    """One convolution of a block."""

    kernel: int
    filters: int
    stride: int = 1


Block = Callable[[int, int], tuple[Conv, ...]]  # filters and stride of a block to its convolutions


def basic_block(filters: int, stride: int) -> tuple[Conv, ...]:
    """Two 3x3 convolutions (Figure 5, left)."""
    return Conv(3, filters, stride), Conv(3, filters)


def bottleneck_block(filters: int, stride: int) -> tuple[Conv, ...]:
    """1x1, 3x3, 1x1 (Figure 5, right), with the stride in the first, as in the authors' released networks."""
    return Conv(1, filters, stride), Conv(3, filters), Conv(1, 4 * filters)


def bottleneck_block_v1_5(filters: int, stride: int) -> tuple[Conv, ...]:
    """The bottleneck with the stride in the 3x3, as in fb.resnet.torch and torchvision."""
    return Conv(1, filters), Conv(3, filters, stride), Conv(1, 4 * filters)


BOTTLENECKS = {"1x1": bottleneck_block, "3x3": bottleneck_block_v1_5}  # by where the stride is


def _conv_bn(x, conv: Conv, name: str, gamma: float = 1.0):
    """Convolution without bias, then batch norm (section 3.4).

    TensorFlow's SAME padding of stride-2 convolutions on even sizes pads the end only, which would shift their centres
    by one pixel against the pixels that the shortcut samples.
    """
    arguments = dict(use_bias=False, kernel_initializer=_he_normal(), name=f"{name}_conv")
    if (conv.kernel, conv.stride) == (1, 1):
        x = PointwiseConv2D(conv.filters, **arguments)(x)
    else:
        if conv.kernel > 1 and conv.stride > 1:
            x = layers.ZeroPadding2D(conv.kernel // 2, name=f"{name}_pad")(x)
        padding = "same" if conv.stride == 1 else "valid"
        x = layers.Conv2D(conv.filters, conv.kernel, conv.stride, padding, **arguments)(x)
    gamma = keras.initializers.Constant(gamma)
    return BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, name=f"{name}_bn")(x)


def _he_normal() -> keras.initializers.Initializer:
    """Returns an untruncated N(0, 2 / fan-in) initialiser (He et al. 2015, the paper's reference 13)."""
    return keras.initializers.VarianceScaling(2.0, mode="fan_in", distribution="untruncated_normal")


def _relu(x, name: str):
    return layers.Activation("relu", name=name)(x)


def _shortcut(x, stride: int, filters: int, option: str, name: str):
    """Returns a block's shortcut: identity if dimensions do not change and the option is not C (section 4.1)."""
    grows = stride > 1 or x.shape[-1] != filters
    if option == "C" or (option == "B" and grows):
        return _conv_bn(x, Conv(1, filters, stride), f"{name}_0")
    return ZeroPaddedIdentity(filters, stride, name=f"{name}_0_identity")(x) if grows else x


def _block(inputs, convs: tuple[Conv, ...], shortcut: str | None, last_gamma: float, name: str):
    """Convolutions plus shortcut, then ReLU (eq. 2); plain networks have no shortcut."""
    x = inputs
    for number, conv in enumerate(convs[:-1], start=1):
        x = _relu(_conv_bn(x, conv, f"{name}_{number}"), f"{name}_{number}_relu")
    x = _conv_bn(x, convs[-1], f"{name}_{len(convs)}", gamma=last_gamma)
    if shortcut is not None:
        stride = max(conv.stride for conv in convs)
        x = layers.Add(name=f"{name}_add")([_shortcut(inputs, stride, convs[-1].filters, shortcut, name), x])
    return _relu(x, f"{name}_out")


def _stages(x, filters, blocks, block: Block, shortcut: str | None, last_gamma: float) -> list:
    """Returns the outputs of all stages, numbered from 2; each but the first halves the map in its first block.

    `filters` and `blocks` have one entry per stage.
    """
    outputs = []
    for stage, (width, count) in enumerate(zip(filters, blocks, strict=True), start=2):
        for number in range(1, count + 1):
            stride = 2 if stage > 2 and number == 1 else 1
            x = _block(x, block(width, stride), shortcut, last_gamma, f"conv{stage}_block{number}")
        outputs.append(x)
    return outputs


def _imagenet_backbone(input_shape, pool_padding, name, **stages) -> keras.Model:
    """Builds a network of Table 1 without its head."""
    require_images(input_shape)
    require_one_of(POOL_PADDING, pool_padding=pool_padding)
    images = keras.Input(input_shape, name="images")
    c1 = _relu(_conv_bn(images, Conv(7, 64, stride=2), "conv1"), "conv1_relu")
    x = layers.ZeroPadding2D(POOL_PADDING[pool_padding], name="pool1_pad")(c1)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    levels = [c1, *_stages(x, IMAGENET_FILTERS, **stages)]
    return keras.Model(images, {f"C{level}": x for level, x in enumerate(levels, start=1)}, name=name)


def _cifar_backbone(input_shape, depth, name, **stages) -> keras.Model:
    """Builds a network of section 4.2 without its head: 6n + 2 layers, n blocks per stage."""
    require(is_count(depth) and depth >= 8 and depth % 6 == 2, "depth", depth, "6n + 2: 8, 14, 20, ...")
    require_images(input_shape)
    images = keras.Input(input_shape, name="images")
    x = _relu(_conv_bn(images, Conv(3, 16), "conv1"), "conv1_relu")
    levels = _stages(x, CIFAR_FILTERS, blocks=((depth - 2) // 6,) * 3, block=basic_block, **stages)
    return keras.Model(images, {f"C{level}": x for level, x in enumerate(levels)}, name=name)


def head(x, /, num_classes: int = 1000):
    """Logits [batch, num_classes] of the last feature map: its mean over all positions, and a dense layer."""
    require_counts(num_classes=num_classes)
    # Float32 under every precision policy: it is small, and the loss needs exact logits.
    x = layers.GlobalAveragePooling2D(name="avg_pool", dtype="float32")(x)
    normal = keras.initializers.RandomNormal(stddev=0.01)
    return layers.Dense(num_classes, kernel_initializer=normal, name="predictions", dtype="float32")(x)


def _require_last_gamma(last_gamma: object, plain: bool) -> None:
    require(is_number(last_gamma), "last_gamma", last_gamma, "a number")
    require(not plain or last_gamma != 0, "last_gamma", last_gamma, "other than 0 in a plain network: nothing passes")


ImageShape = tuple[int | None, int | None, int]


def basic_resnet(
    blocks: tuple[int, ...],
    /,
    input_shape: ImageShape = (224, 224, 3),
    shortcut: str = "B",
    pool_padding: str = "same",
    last_gamma: float = 1.0,
    name: str = "resnet",
) -> keras.Model:
    """Builds a residual network of two-layer blocks (Table 1: 18 and 34 layers) without its head.

    Input: normalised images [batch, height, width, channels]. Output: a dict of feature maps, C1 to C5.

    Args:
        blocks: number of blocks in conv2_x to conv5_x.
        input_shape: height, width and channels; height and width may be None.
        shortcut: "A": zeros for new channels; "B": projections where dimensions grow; "C": projections everywhere
            (section 4.1). Published weights use "B", Table 2 uses "A".
        pool_padding: "same": at the end only, as in Caffe and the authors' weights; "symmetric": as in PyTorch.
        last_gamma: initial scale of the last batch norm of each block; with 0 each block starts as the identity.
        name: the name of the Keras model.

    Raises:
        ValueError: an argument is out of its range.
    """
    require_one_of(SHORTCUTS, shortcut=shortcut)
    _require_last_gamma(last_gamma, plain=False)
    stages = dict(blocks=blocks, block=basic_block, shortcut=shortcut, last_gamma=last_gamma)
    return _imagenet_backbone(input_shape, pool_padding, name, **stages)


def bottleneck_resnet(
    blocks: tuple[int, ...],
    /,
    input_shape: ImageShape = (224, 224, 3),
    shortcut: str = "B",
    bottleneck_stride: str = "1x1",
    pool_padding: str = "same",
    last_gamma: float = 1.0,
    name: str = "resnet",
) -> keras.Model:
    """Builds a residual network of bottlenecks (Table 1: 50, 101 and 152 layers) without its head.

    Args:
        bottleneck_stride: the convolution with stride 2. "1x1": the first, as in the authors' networks; "3x3": as in
            fb.resnet.torch and torchvision ("v1.5"), with the same parameters, more multiply-adds (6 % at 50 layers).
        others: as for `basic_resnet`.
    """
    require_one_of(SHORTCUTS, shortcut=shortcut)
    require_one_of(BOTTLENECKS, bottleneck_stride=bottleneck_stride)
    _require_last_gamma(last_gamma, plain=False)
    stages = dict(blocks=blocks, block=BOTTLENECKS[bottleneck_stride], shortcut=shortcut, last_gamma=last_gamma)
    return _imagenet_backbone(input_shape, pool_padding, name, **stages)


def plain_network(
    blocks: tuple[int, ...],
    /,
    input_shape: ImageShape = (224, 224, 3),
    pool_padding: str = "same",
    last_gamma: float = 1.0,
    name: str = "plain",
) -> keras.Model:
    """Builds the network of `basic_resnet` without shortcuts; `last_gamma` must not be 0 here."""
    _require_last_gamma(last_gamma, plain=True)
    stages = dict(blocks=blocks, block=basic_block, shortcut=None, last_gamma=last_gamma)
    return _imagenet_backbone(input_shape, pool_padding, name, **stages)


def cifar_resnet(
    depth: int,
    /,
    input_shape: ImageShape = (32, 32, 3),
    last_gamma: float = 1.0,
    name: str = "resnet_cifar",
) -> keras.Model:
    """Builds a residual network of `depth` = 6n + 2 layers for small images (section 4.2) without its head.

    Shortcuts are of option A. Output: a dict of feature maps, C0 to C2. Arguments as for `basic_resnet`.
    """
    _require_last_gamma(last_gamma, plain=False)
    return _cifar_backbone(input_shape, depth, name, shortcut="A", last_gamma=last_gamma)


def cifar_plain(
    depth: int,
    /,
    input_shape: ImageShape = (32, 32, 3),
    last_gamma: float = 1.0,
    name: str = "plain_cifar",
) -> keras.Model:
    """Builds the network of `cifar_resnet` without shortcuts; `last_gamma` must not be 0 here."""
    _require_last_gamma(last_gamma, plain=True)
    return _cifar_backbone(input_shape, depth, name, shortcut=None, last_gamma=last_gamma)


VARIANTS = {  # name: backbone, its blocks in conv2_x to conv5_x (ImageNet) or the network's layers (CIFAR)
    "resnet18": (basic_resnet, (2, 2, 2, 2)),
    "resnet34": (basic_resnet, (3, 4, 6, 3)),
    "resnet50": (bottleneck_resnet, (3, 4, 6, 3)),
    "resnet101": (bottleneck_resnet, (3, 4, 23, 3)),
    "resnet152": (bottleneck_resnet, (3, 8, 36, 3)),
    "plain18": (plain_network, (2, 2, 2, 2)),
    "plain34": (plain_network, (3, 4, 6, 3)),
    **{f"resnet{depth}_cifar": (cifar_resnet, depth) for depth in (20, 32, 44, 56, 110, 1202)},
    **{f"plain{depth}_cifar": (cifar_plain, depth) for depth in (20, 32, 44, 56, 110)},
}
cifar_head = functools.partial(head, num_classes=10)

for _name, (_backbone, _depth) in VARIANTS.items():
    _head = cifar_head if _backbone in (cifar_resnet, cifar_plain) else head
    register_classifier(_name, functools.partial(_backbone, _depth), _head)

"""EfficientNet (Tan & Le, ICML 2019, arXiv 1905.11946): B0 found by search, B1..B7 by compound scaling.

B8 and L2 are larger variants from later papers (AdvProp, NoisyStudent). Layer names are those of keras.applications, so
its weight files load. Unlike keras.applications, and as in the authors' code, images are normalised outside the model,
initialisers are normal (not truncated), and width, depth, dropout and stochastic depth are arguments.

The backbone's feature maps are C1 to C5: the output of the last block before each change of stride, and of the last
block, as used by EfficientDet (Tan, Pang & Le 2020, section 4.1; endpoints `reduction_1` to `reduction_5` of the
authors' code). They have no final activation. The 1x1 convolution of stage 9 in Table 1 belongs to the head.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import string

import keras
from keras import layers

from tf_models.arguments import (
    is_count,
    is_number,
    require,
    require_counts,
    require_images,
    require_positive,
    require_rates,
)
from tf_models.layers.activations import silu
from tf_models.layers.batch_norm import BatchNormalization
from tf_models.layers.convolution import DepthwiseConv2D, PointwiseConv2D
from tf_models.layers.noise import Dropout
from tf_models.registry import register_classifier

SQUEEZE_RATIO = 0.25  # of the block's input channels
STEM_FILTERS = 32
HEAD_FILTERS = 1280


@dataclasses.dataclass(frozen=True)
class Stage:
    """A row of Table 1: `repeats` MBConv blocks; the first has `stride` and changes the number of channels."""

    expand: int  # channels inside a block, as a multiple of those that enter it
    kernel: int
    stride: int
    filters: int
    repeats: int


STAGES = (  # Table 1, stages 2 to 8
    Stage(expand=1, kernel=3, stride=1, filters=16, repeats=1),
    Stage(expand=6, kernel=3, stride=2, filters=24, repeats=2),
    Stage(expand=6, kernel=5, stride=2, filters=40, repeats=2),
    Stage(expand=6, kernel=3, stride=2, filters=80, repeats=3),
    Stage(expand=6, kernel=5, stride=1, filters=112, repeats=3),
    Stage(expand=6, kernel=5, stride=2, filters=192, repeats=4),
    Stage(expand=6, kernel=3, stride=1, filters=320, repeats=1),
)


@dataclasses.dataclass(frozen=True)
class Scaling:
    """The three scaling dimensions (section 3.2): width, depth, and image resolution in pixels."""

    width: float
    depth: float
    resolution: int


def compound_scaling(
    phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15, base_resolution: int = 224
) -> Scaling:
    """Scales depth by alpha^phi, width by beta^phi and resolution by gamma^phi (eq. 3).

    `phi` may be fractional or negative. The published B1..B7 (`VARIANTS`) are not exactly on this curve. With
    alpha * beta^2 * gamma^2 near 2, multiply-adds grow like 2^phi.
    """
    require(is_number(phi), "phi", phi, "a number")
    for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        require(is_number(value) and value >= 1, name, value, "a number of 1 or more")
    require(is_count(base_resolution), "base_resolution", base_resolution, "an integer of 1 or more, in pixels")
    return Scaling(width=beta**phi, depth=alpha**phi, resolution=max(1, round(base_resolution * gamma**phi)))


def round_filters(filters: int, width: float) -> int:
    """Scales a number of channels and rounds it to a multiple of 8, never more than 10 % down (the authors' code)."""
    scaled = filters * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def round_repeats(repeats: int, depth: float) -> int:
    """Scales a stage's number of blocks and rounds it up (the authors' code)."""
    return math.ceil(depth * repeats)


@dataclasses.dataclass(frozen=True)
class Block:
    """One MBConv block of a scaled network, with its name and its stochastic-depth drop rate."""

    name: str
    kernel: int
    stride: int
    filters_in: int
    filters_mid: int
    filters_out: int
    squeezed: int
    drop_rate: float

    @property
    def has_shortcut(self) -> bool:
        return self.stride == 1 and self.filters_in == self.filters_out


def blocks(width: float, depth: float, survival_probability: float) -> list[Block]:
    """Returns the blocks of Table 1, stages 2 to 8, scaled in width and depth.

    Block i of N survives with probability 1 - (1 - survival_probability) * i / N, where i counts from 0 and N is the
    scaled number of blocks, including those without a shortcut.
    """
    total = sum(round_repeats(stage.repeats, depth) for stage in STAGES)
    result: list[Block] = []
    filters_in = round_filters(STEM_FILTERS, width)
    for number, stage in enumerate(STAGES, start=1):
        filters_out = round_filters(stage.filters, width)
        for repeat in range(round_repeats(stage.repeats, depth)):
            block = Block(
                name=f"block{number}{_letters(repeat)}",
                kernel=stage.kernel,
                stride=stage.stride if repeat == 0 else 1,
                filters_in=filters_in,
                filters_mid=filters_in * stage.expand,
                filters_out=filters_out,
                squeezed=max(1, int(filters_in * SQUEEZE_RATIO)),
                drop_rate=(1 - survival_probability) * len(result) / total,
            )
            result.append(block)
            filters_in = filters_out
    return result


def _letters(index: int) -> str:
    """Yields a, b, .., z, aa, ab, ..: a stage scaled by 8 has 32 blocks."""
    more, last = divmod(index, 26)
    return (_letters(more - 1) if more else "") + string.ascii_lowercase[last]


def _conv1x1(filters: int, name: str, **arguments) -> PointwiseConv2D:
    return PointwiseConv2D(filters, kernel_initializer=_normal(1, filters), name=name, **arguments)


def _normal(kernel: int, filters: int) -> keras.initializers.Initializer:
    """Returns an untruncated normal initialiser with variance 2 / fan-out, as in the authors' code."""
    return keras.initializers.RandomNormal(stddev=math.sqrt(2 / (kernel * kernel * filters)))


def _norm(x, name: str):
    return BatchNormalization(momentum=0.99, epsilon=1e-3, name=name)(x)


def _squeeze_excite(x, block: Block):
    """Multiplies each channel by a gate computed from the means of all channels (section 4)."""
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{block.name}_se_squeeze")(x)
    gate = _conv1x1(block.squeezed, f"{block.name}_se_reduce", activation=silu)(gate)
    gate = _conv1x1(block.filters_mid, f"{block.name}_se_expand", activation="sigmoid")(gate)
    return layers.Multiply(name=f"{block.name}_se_excite")([x, gate])


def _mbconv(inputs, block: Block):
    """MBConv (section 4): expand, convolve each channel, squeeze and excite, project, add the input.

    The projection is linear and no activation follows the addition. Stochastic depth drops the branch per example.
    """
    x = inputs
    if block.filters_mid != block.filters_in:
        x = _conv1x1(block.filters_mid, f"{block.name}_expand_conv", use_bias=False)(x)
        x = _norm(x, f"{block.name}_expand_bn")
        x = layers.Activation(silu, name=f"{block.name}_expand_activation")(x)
    x = DepthwiseConv2D(
        block.kernel,
        strides=block.stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=_normal(block.kernel, 1),
        name=f"{block.name}_dwconv",
    )(x)
    x = _norm(x, f"{block.name}_bn")
    x = layers.Activation(silu, name=f"{block.name}_activation")(x)
    x = _squeeze_excite(x, block)
    x = _conv1x1(block.filters_out, f"{block.name}_project_conv", use_bias=False)(x)
    x = _norm(x, f"{block.name}_project_bn")
    if not block.has_shortcut:
        return x
    if block.drop_rate > 0:
        x = Dropout(block.drop_rate, noise_shape=(None, 1, 1, 1), name=f"{block.name}_drop")(x)
    return layers.Add(name=f"{block.name}_add")([x, inputs])


def efficientnet(
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    width: float = 1.0,
    depth: float = 1.0,
    survival_probability: float = 0.8,
    name: str = "efficientnet",
) -> keras.Model:
    """Builds an EfficientNet of any width and depth (section 4, Table 1) without its head.

    Input: normalised images [batch, height, width, channels]. Output: a dict of feature maps, C1 to C5.

    Args:
        input_shape: height, width and channels; height and width may be None.
        width: multiplies the channels of every layer.
        depth: multiplies the blocks of every stage.
        survival_probability: stochastic depth; the end of the linear schedule over blocks (see `blocks`).
        name: the name of the Keras model.

    Raises:
        ValueError: an argument is out of its range.
    """
    require_images(input_shape)
    require_positive(width=width, depth=depth)
    is_probability = is_number(survival_probability) and 0 < survival_probability <= 1
    require(is_probability, "survival_probability", survival_probability, "a number in (0, 1]")
    images = keras.Input(input_shape, name="images")
    filters = round_filters(STEM_FILTERS, width)
    x = layers.Conv2D(
        filters,
        3,
        strides=2,
        padding="same",
        use_bias=False,
        kernel_initializer=_normal(3, filters),
        name="stem_conv",
    )(images)
    x = layers.Activation(silu, name="stem_activation")(_norm(x, "stem_bn"))
    level, levels = 1, {}
    for block in blocks(width, depth, survival_probability):
        level += block.stride == 2
        x = levels[f"C{level}"] = _mbconv(x, block)
    return keras.Model(images, levels, name=name)


def head(x, /, num_classes: int = 1000, width: float = 1.0, dropout: float = 0.2, include_top: bool = True):
    """Returns float32 logits [batch, num_classes] of the last feature map, or the pooled features without the top.

    Args:
        num_classes: number of logits.
        width: multiplies the channels of the 1x1 convolution.
        dropout: rate before the last layer.
        include_top: False leaves out dropout and classifier.
    """
    require_counts(num_classes=num_classes)
    require_rates(dropout=dropout)
    x = _conv1x1(round_filters(HEAD_FILTERS, width), "top_conv", use_bias=False)(x)
    x = layers.Activation(silu, name="top_activation")(_norm(x, "top_bn"))
    # Float32 under every precision policy: it is small, and the loss needs exact logits.
    x = layers.GlobalAveragePooling2D(name="avg_pool", dtype="float32")(x)
    if not include_top:
        return x
    if dropout > 0:
        x = Dropout(dropout, name="top_dropout", dtype="float32")(x)
    limit = 1 / math.sqrt(num_classes)
    uniform = keras.initializers.RandomUniform(-limit, limit)
    return layers.Dense(num_classes, kernel_initializer=uniform, name="predictions", dtype="float32")(x)


VARIANTS = {  # name: width, depth, resolution; dropout
    "efficientnet_b0": (Scaling(1.0, 1.0, 224), 0.2),
    "efficientnet_b1": (Scaling(1.0, 1.1, 240), 0.2),
    "efficientnet_b2": (Scaling(1.1, 1.2, 260), 0.3),
    "efficientnet_b3": (Scaling(1.2, 1.4, 300), 0.3),
    "efficientnet_b4": (Scaling(1.4, 1.8, 380), 0.4),
    "efficientnet_b5": (Scaling(1.6, 2.2, 456), 0.4),
    "efficientnet_b6": (Scaling(1.8, 2.6, 528), 0.5),
    "efficientnet_b7": (Scaling(2.0, 3.1, 600), 0.5),
    "efficientnet_b8": (Scaling(2.2, 3.6, 672), 0.5),
    "efficientnet_l2": (Scaling(4.3, 5.3, 800), 0.5),
}

register_classifier("efficientnet", efficientnet, head)

for _name, (_scaling, _dropout) in VARIANTS.items():
    register_classifier(
        _name,
        functools.partial(
            efficientnet,
            input_shape=(_scaling.resolution, _scaling.resolution, 3),
            width=_scaling.width,
            depth=_scaling.depth,
        ),
        functools.partial(head, width=_scaling.width, dropout=_dropout),
    )

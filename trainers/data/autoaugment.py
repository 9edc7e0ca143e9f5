"""AutoAugment policy v0, as EfficientNet's official code applies it (section 5.2 of the recipe).

This is the table of the EfficientNet and detection code, not the ImageNet table of Cubuk et al. 2019 (1805.09501) used
by torchvision. Quirks of the released code are part of the recipe and kept:

* Posterize at level 2 keeps 0 bits, a shift by 8, which TensorFlow reduces to 7: one bit survives.
* Solarize at level 10 has threshold 256, which is 0 as a byte: every pixel is inverted.
* TranslateY moves by 25 pixels per level at any image size: at level 9 and 224 pixels nothing is left.

`scaled` changes only the last one: a level then moves by a tenth of 150/331 of the image's height. 150 pixels are the
longest translation in Cubuk et al., and torchvision relates them to a height of 331; timm rounds the ratio to 0.45.
"""

from __future__ import annotations

import functools
import math

import tensorflow as tf

# (operation, probability, level) twice per row; one of the 25 rows is drawn per image.
POLICY_V0 = (
    (("Equalize", 0.8, 1), ("ShearY", 0.8, 4)),
    (("Color", 0.4, 9), ("Equalize", 0.6, 3)),
    (("Color", 0.4, 1), ("Rotate", 0.6, 8)),
    (("Solarize", 0.8, 3), ("Equalize", 0.4, 7)),
    (("Solarize", 0.4, 2), ("Solarize", 0.6, 2)),
    (("Color", 0.2, 0), ("Equalize", 0.8, 8)),
    (("Equalize", 0.4, 8), ("SolarizeAdd", 0.8, 3)),
    (("ShearX", 0.2, 9), ("Rotate", 0.6, 8)),
    (("Color", 0.6, 1), ("Equalize", 1.0, 2)),
    (("Invert", 0.4, 9), ("Rotate", 0.6, 0)),
    (("Equalize", 1.0, 9), ("ShearY", 0.6, 3)),
    (("Color", 0.4, 7), ("Equalize", 0.6, 0)),
    (("Posterize", 0.4, 6), ("AutoContrast", 0.4, 7)),
    (("Solarize", 0.6, 8), ("Color", 0.6, 9)),
    (("Solarize", 0.2, 4), ("Rotate", 0.8, 9)),
    (("Rotate", 1.0, 7), ("TranslateY", 0.8, 9)),
    (("ShearX", 0.0, 0), ("Solarize", 0.8, 4)),
    (("ShearY", 0.8, 0), ("Color", 0.6, 4)),
    (("Color", 1.0, 0), ("Rotate", 0.6, 2)),
    (("Equalize", 0.8, 4), ("Equalize", 0.0, 8)),
    (("Equalize", 1.0, 4), ("AutoContrast", 0.6, 2)),
    (("ShearY", 0.4, 7), ("SolarizeAdd", 0.6, 7)),
    (("Posterize", 0.8, 2), ("Solarize", 0.6, 10)),
    (("Solarize", 0.6, 8), ("Equalize", 0.6, 1)),
    (("Color", 0.8, 6), ("Rotate", 0.4, 5)),
)

# Level -> degrees, slope, bits, pixel value, blending factor, pixels. The other operations have none.
_MAGNITUDES = {
    "Color": lambda level: 0.1 + 0.18 * level,
    "Posterize": lambda level: int(0.4 * level),
    "Rotate": lambda level: 3.0 * level,
    "ShearX": lambda level: 0.03 * level,
    "ShearY": lambda level: 0.03 * level,
    "Solarize": lambda level: int(25.6 * level),
    "SolarizeAdd": lambda level: int(11 * level),
    "TranslateY": lambda level: 25.0 * level,
}
_SIGNED = ("Rotate", "ShearX", "ShearY", "TranslateY")  # in either direction, with equal probability
_UNCOVERED = 128.0  # fill value outside the original image


def augment(image: tf.Tensor, seed: tf.Tensor, *, scaled: bool = False) -> tf.Tensor:
    """Applies a random row of the policy to an image.

    Args:
        image: [height, width, 3], uint8; the size is static.
        seed: [2], integer; decides the row, which of its two operations happen, and the signs of their magnitudes.
        scaled: translate by a part of the image's height instead of by a fixed number of pixels.

    Returns:
        [height, width, 3], uint8.
    """
    draws = tf.random.stateless_uniform([5], seed)
    row = tf.cast(draws[0] * len(POLICY_V0), tf.int32)
    image = _apply(image, 0, row, draws[1], draws[2], scaled)
    return _apply(image, 1, row, draws[3], draws[4], scaled)


def _apply(image, place, row, chance, side, scaled):
    """A row's first or second operation, if `chance` is below its probability; `chance` and `side` lie in [0, 1)."""
    names, probabilities, levels = zip(*(sub_policy[place] for sub_policy in POLICY_V0))
    magnitudes = [_magnitude(name, level, image.shape[0], scaled) for name, level in zip(names, levels)]
    signed = tf.gather(tf.constant([name in _SIGNED for name in names]), row)
    magnitude = tf.gather(tf.constant(magnitudes, tf.float32), row)
    magnitude = tf.where(signed & (side < 0.5), -magnitude, magnitude)

    used = sorted(set(names))
    branches = [functools.partial(_OPERATIONS[name], image, magnitude) for name in used]
    branch = tf.gather(tf.constant([used.index(name) for name in names]), row)
    happens = chance < tf.gather(tf.constant(probabilities, tf.float32), row)
    augmented = tf.switch_case(tf.where(happens, branch, len(used)), [*branches, lambda: image])
    return tf.ensure_shape(augmented, image.shape)


def _magnitude(name: str, level: int, height: int, scaled: bool) -> float:
    if name == "TranslateY" and scaled:
        return level / 10 * 150 / 331 * height
    return _MAGNITUDES[name](level) if name in _MAGNITUDES else 0.0


def autocontrast(image: tf.Tensor) -> tf.Tensor:
    """Stretches each channel linearly to 0..255; a constant channel is unchanged."""
    low = tf.cast(tf.reduce_min(image, axis=(0, 1)), tf.float32)
    high = tf.cast(tf.reduce_max(image, axis=(0, 1)), tf.float32)
    scale = tf.where(high > low, 255 / (high - low), 1.0)
    offset = tf.where(high > low, -low * scale, 0.0)
    return _from_rows(_to_bytes(_rows(image, tf.float32) * _row(scale, image) + _row(offset, image)), image)


def equalize(image: tf.Tensor) -> tf.Tensor:
    """Spreads each channel's values evenly over 0..255, as PIL does.

    A value is mapped to the number of pixels below it, in units of 1/255 of the pixels below the largest value, rounded
    half up; a channel with fewer than 255 such pixels is unchanged.
    """
    bins = _rows(image, tf.int32) + _row(tf.constant([0, 256, 512]), image)
    histogram = tf.reshape(tf.math.bincount(bins, minlength=768, maxlength=768), [3, 256])
    below = tf.cumsum(histogram, axis=1, exclusive=True)
    below_largest = tf.reduce_max(tf.where(histogram > 0, below, 0), axis=1, keepdims=True)
    unit = below_largest // 255
    spread = tf.minimum((below + unit // 2) // tf.maximum(unit, 1), 255)
    table = tf.cast(tf.where(unit > 0, spread, tf.range(256)), tf.uint8)
    return _from_rows(tf.gather(tf.reshape(table, [-1]), bins), image)


def invert(image: tf.Tensor) -> tf.Tensor:
    """255 - image."""
    return 255 - image


def posterize(image: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Keeps the highest `bits` bits, at least one (see above)."""
    shift = tf.cast(tf.minimum(8 - bits, 7), tf.uint8)
    return tf.bitwise.left_shift(tf.bitwise.right_shift(image, shift), shift)


def solarize(image: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Inverts the values from `threshold` on; 256 counts as 0 (see above)."""
    threshold = tf.cast(tf.cast(threshold, tf.int32) % 256, tf.uint8)
    return tf.bitwise.bitwise_xor(image, 255 * tf.cast(image >= threshold, tf.uint8))


def solarize_add(image: tf.Tensor, addend: tf.Tensor) -> tf.Tensor:
    """Adds `addend`, 0..128, to the values below 128."""
    return image + tf.cast(addend, tf.uint8) * tf.cast(image < 128, tf.uint8)


def color(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends the grey image (factor 0) with the image (factor 1), and beyond."""
    grey = tf.cast(tf.image.rgb_to_grayscale(image), tf.float32)
    return _to_bytes(grey + factor * (tf.cast(image, tf.float32) - grey))


def rotate(image: tf.Tensor, degrees: tf.Tensor) -> tf.Tensor:
    """Rotates about the centre, counterclockwise."""
    height, width, _ = image.shape
    cos, sin = tf.cos(degrees * (math.pi / 180)), tf.sin(degrees * (math.pi / 180))
    x, y = (width - 1) / 2, (height - 1) / 2
    return _transform(image, [cos, -sin, x - (cos * x - sin * y), sin, cos, y - (sin * x + cos * y)])


def shear_x(image: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
    """Shifts each row to the left by `slope` times its index."""
    return _transform(image, [1.0, slope, 0.0, 0.0, 1.0, 0.0])


def shear_y(image: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
    """Shifts each column up by `slope` times its index."""
    return _transform(image, [1.0, 0.0, 0.0, slope, 1.0, 0.0])


def translate_y(image: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    """Shifts the image up."""
    return _transform(image, [1.0, 0.0, 0.0, 0.0, 1.0, pixels])


def _transform(image, affine):
    """Sets pixel (x, y) to the one nearest to (a x + b y + c, d x + e y + f), or to grey outside the image."""
    transformed = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[tf.newaxis],
        transforms=tf.stack([*affine, 0.0, 0.0])[tf.newaxis],
        output_shape=image.shape[:2],
        fill_value=_UNCOVERED,
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )
    return transformed[0]


# tf.where on bytes, and broadcasting over the last axis of 3, take several times as long as the rest of an operation.
# Therefore masks are multiplied, and per-channel values are tiled along a whole row of the image.


def _rows(image, dtype):
    height, width, channels = image.shape
    return tf.reshape(tf.cast(image, dtype), [height, width * channels])


def _row(channels, image):
    return tf.tile(channels, [image.shape[1]])


def _from_rows(rows, image):
    return tf.reshape(rows, image.shape)


def _to_bytes(values):
    return tf.cast(tf.clip_by_value(values, 0, 255), tf.uint8)


_OPERATIONS = {
    "AutoContrast": lambda image, _: autocontrast(image),
    "Color": color,
    "Equalize": lambda image, _: equalize(image),
    "Invert": lambda image, _: invert(image),
    "Posterize": posterize,
    "Rotate": rotate,
    "ShearX": shear_x,
    "ShearY": shear_y,
    "Solarize": solarize,
    "SolarizeAdd": solarize_add,
    "TranslateY": translate_y,
}

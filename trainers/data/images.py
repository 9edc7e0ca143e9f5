"""From the bytes of an image file to the network's input, one example at a time (section 5.1 of EfficientNet's recipe).

Everything here runs inside `tf.data` or a SavedModel. Images are [resolution, resolution, 3] on the scale 0..255; what
bicubic resizing overshoots is clipped only where AutoAugment needs bytes, as in the official code.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from flags.recipe import Images
from trainers.data import autoaugment

# Height and width of an image -> [y, x, height, width] of the part that is used.
Window = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def training_image(encoded: tf.Tensor, seed: tf.Tensor, data: Images, resolution: int) -> tf.Tensor:
    """Decodes, crops, resizes, flips and augments an image, as `data` says.

    Args:
        encoded: [], the bytes of a JPEG, PNG, GIF (its first frame) or BMP file.
        seed: [2], integer; decides all that is random.

    Returns:
        [resolution, resolution, 3]: uint8 with AutoAugment, else float32.
    """
    crop_seed, flip_seed, augment_seed = tf.unstack(tf.random.split(seed, 3))
    if data.crop == "inception":
        image = _resize(_decode(encoded, _inception_window(crop_seed, data, resolution)), data, resolution)
    else:
        image = _resize(_decode(encoded, _whole), data, resolution)
    if data.crop == "pad_and_shift":
        image = _pad_and_shift(image, crop_seed)
    if data.flip:
        image = tf.image.stateless_random_flip_left_right(image, flip_seed)
    if data.augment != "none":
        image = tf.cast(tf.clip_by_value(image, 0, 255), tf.uint8)
        image = autoaugment.augment(image, augment_seed, scaled=data.augment == "autoaugment_v0_scaled")
    return image


def evaluation_image(encoded: tf.Tensor, data: Images, resolution: int) -> tf.Tensor:
    """Decodes an image ([], bytes as above) and resizes its centre square; [resolution, resolution, 3], float32."""
    return _resize(_decode(encoded, _centre_window(data, resolution)), data, resolution)


def serving_images(encoded: tf.Tensor, data: Images, resolution: int) -> tf.Tensor:
    """`evaluation_image` of each element of [N], for a SavedModel: [N, resolution, resolution, 3], float32."""
    return tf.map_fn(
        lambda one: evaluation_image(one, data, resolution),
        encoded,
        fn_output_signature=tf.TensorSpec([resolution, resolution, 3], tf.float32),
    )


def _decode(encoded: tf.Tensor, window: Window) -> tf.Tensor:
    """The window of an encoded image: [height, width, 3], uint8. Of a JPEG no more than the window is decoded."""

    def jpeg():
        shape = tf.io.extract_jpeg_shape(encoded)
        return tf.image.decode_and_crop_jpeg(encoded, window(shape[0], shape[1]), channels=3)

    def other():
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        shape = tf.shape(image)
        y, x, height, width = tf.unstack(window(shape[0], shape[1]))
        return image[y : y + height, x : x + width]

    return tf.ensure_shape(tf.cond(tf.io.is_jpeg(encoded), jpeg, other), [None, None, 3])


def _whole(height, width):
    return tf.stack([0, 0, height, width])


def _centre_window(data: Images, resolution: int) -> Window:
    """The square of side resolution / (resolution + crop_padding) of the shorter side, in the middle."""

    def window(height, width):
        part = resolution / (resolution + data.crop_padding)
        side = tf.cast(part * tf.cast(tf.minimum(height, width), tf.float32), tf.int32)
        side = tf.maximum(side, 1)
        return tf.stack([(height - side + 1) // 2, (width - side + 1) // 2, side, side])

    return window


def _inception_window(seed: tf.Tensor, data: Images, resolution: int) -> Window:
    """A random part: 8 to 100 % of the area, aspect ratio 3/4 to 4/3; the centre square if ten trials find none."""

    def window(height, width):
        begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
            tf.stack([height, width, 3]),
            bounding_boxes=tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
            seed=seed,
            min_object_covered=0.1,
            aspect_ratio_range=(3 / 4, 4 / 3),
            area_range=(0.08, 1.0),
            max_attempts=10,
        )
        sampled = tf.concat([begin[:2], size[:2]], axis=0)
        failed = tf.reduce_all(sampled[2:] == [height, width])
        return tf.where(failed, _centre_window(data, resolution)(height, width), sampled)

    return window


def _resize(image: tf.Tensor, data: Images, resolution: int) -> tf.Tensor:
    """[height, width, 3], uint8 -> [resolution, resolution, 3], float32; the aspect ratio is not kept."""
    size = [resolution, resolution]
    if data.resize == "bicubic_tf1":
        # TensorFlow 1's kernel: A = -0.75, and pixel centres at whole numbers.
        return tf.raw_ops.ResizeBicubic(images=image[tf.newaxis], size=size)[0]
    return tf.cast(tf.image.resize(image, size, method=data.resize), tf.float32)


def _pad_and_shift(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Shifts an image by up to an eighth of its side (at least a pixel) in each direction; zeros come in."""
    side = image.shape[0]
    pad = max(1, side // 8)
    y, x = tf.unstack(tf.random.stateless_uniform([2], seed, 0, 2 * pad + 1, dtype=tf.int32))
    padded = tf.pad(image, [[pad, pad], [pad, pad], [0, 0]])
    return tf.ensure_shape(padded[y : y + side, x : x + side], image.shape)

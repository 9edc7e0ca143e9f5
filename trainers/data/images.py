"""Image preprocessing, from the bytes of a file to the network's input, one example at a time.

EfficientNet's follows its official code, ResNet's its paper (sections 3.4 and 4.2). Everything here runs inside
`tf.data` or a SavedModel. Images are [resolution, resolution, channels] in 0..255, minus the mean image if the recipe
has one; overshoots of bicubic resizing are clipped only if AutoAugment needs bytes, as in the official code.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from flags.data import Images
from trainers.data import autoaugment

# Height and width of an image -> [y, x, height, width] of the window to use.
Window = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


# Principal components of ImageNet's colours, for pixels in 0..1, published in fb.resnet.torch. Columns are components;
# rows are red, green, blue.
COLOUR_EIGENVALUES = (0.2175, 0.0188, 0.0045)
COLOUR_EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


def training_image(
    encoded: tf.Tensor, seed: tf.Tensor, data: Images, resolution: int, mean_image: np.ndarray | None = None
) -> tf.Tensor:
    """Decodes, crops, resizes, flips and augments an image as configured in `data`.

    The mean image is subtracted last, with one exception: it is subtracted before padding, so that the padding has mean
    colour, as in fb.resnet.torch. (AutoAugment needs bytes, so with it the padding is black.)

    Args:
        encoded: [], the bytes of a JPEG, PNG, GIF (its first frame) or BMP file.
        seed: [2], integer; seeds all random operations.
        mean_image: [resolution, resolution, channels], float32; None: subtract nothing.

    Returns:
        [resolution, resolution, channels]: uint8 with AutoAugment and no mean image, else float32.
    """
    crop_seed, flip_seed, augment_seed, lighting_seed = tf.unstack(tf.random.split(seed, 4))
    image = _resize(_decode(encoded, _training_window(crop_seed, data, resolution), data.channels), data, resolution)
    if data.lighting > 0:
        image = _light(image, lighting_seed, data.lighting)
    subtracts_first = data.crop == "pad_and_shift" and data.augment == "none"
    if subtracts_first:
        image = _subtract(image, mean_image)
    if data.crop == "pad_and_shift":
        image = _pad_and_shift(image, crop_seed)
    if data.flip:
        image = tf.image.stateless_random_flip_left_right(image, flip_seed)
    if data.augment != "none":
        image = tf.cast(tf.clip_by_value(image, 0, 255), tf.uint8)
        image = autoaugment.augment(image, augment_seed, scaled=data.augment == "autoaugment_v0_scaled")
    return image if subtracts_first else _subtract(image, mean_image)


def evaluation_image(
    encoded: tf.Tensor, data: Images, resolution: int, mean_image: np.ndarray | None = None
) -> tf.Tensor:
    """Decodes an image ([], bytes as above), resizes its centre square and subtracts the mean image, if any.

    Returns:
        [resolution, resolution, channels], float32.
    """
    image = _decode(encoded, _centre_window(data, resolution), data.channels)
    return _subtract(_resize(image, data, resolution), mean_image)


def ten_crops(encoded: tf.Tensor, data: Images, resolution: int, mean_image: np.ndarray | None = None) -> tf.Tensor:
    """The four corners and the centre of an image, then their mirror images (section 3.4; from AlexNet).

    The shorter side is first resized to resolution + crop_padding; `evaluation_image` is the centre crop of the same.

    Returns:
        [10, resolution, resolution, channels], float32, minus the mean image, if any.
    """
    image = _resize_shorter_side(_decode(encoded, _whole, data.channels), data, resolution + data.crop_padding)
    free = tf.shape(image)[:2] - resolution
    places = ((0, 0), (0, 2), (2, 0), (2, 2), (1, 1))  # offsets in halves of the margin
    corners = [free * tf.constant(place) // 2 for place in places]
    crops = tf.stack([image[y : y + resolution, x : x + resolution] for y, x in map(tf.unstack, corners)])
    crops = tf.concat([crops, tf.reverse(crops, axis=[2])], axis=0)
    return _subtract(tf.ensure_shape(crops, [10, resolution, resolution, data.channels]), mean_image)


def whole_image(encoded: tf.Tensor, data: Images, shorter_side: int, mean_image: np.ndarray | None = None) -> tf.Tensor:
    """The whole image with its shorter side resized to `shorter_side`: [height, width, channels], float32.

    Since a mean image has another size, its mean colour is subtracted.
    """
    image = _resize_shorter_side(_decode(encoded, _whole, data.channels), data, shorter_side)
    return _subtract(image, None if mean_image is None else mean_colour(mean_image))


def mean_colour(mean_image: np.ndarray) -> np.ndarray:
    """The mean image averaged over its positions: [3], float32."""
    return mean_image.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)


def serving_images(
    encoded: tf.Tensor, data: Images, resolution: int, mean_image: np.ndarray | None = None
) -> tf.Tensor:
    """`evaluation_image` of each element of [N], for a SavedModel: [N, resolution, resolution, channels], float32."""
    return tf.map_fn(
        lambda one: evaluation_image(one, data, resolution, mean_image),
        encoded,
        fn_output_signature=tf.TensorSpec([resolution, resolution, data.channels], tf.float32),
    )


def _decode(encoded: tf.Tensor, window: Window, channels: int) -> tf.Tensor:
    """The window of an encoded image: [height, width, channels], uint8; of a JPEG only the window is decoded."""

    def jpeg():
        shape = tf.io.extract_jpeg_shape(encoded)
        return tf.image.decode_and_crop_jpeg(encoded, window(shape[0], shape[1]), channels=channels)

    def other():
        image = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
        if channels == 3:
            with tf.control_dependencies([image]):  # bytes that are no image have failed by now
                has_palette = _has_bmp_palette(encoded)
            image = tf.cond(has_palette, lambda: _bmp_colours(encoded, image), lambda: image)
        shape = tf.shape(image)
        y, x, height, width = tf.unstack(window(shape[0], shape[1]))
        return image[y : y + height, x : x + width]

    return tf.ensure_shape(tf.cond(tf.io.is_jpeg(encoded), jpeg, other), [None, None, channels])


def _has_bmp_palette(encoded: tf.Tensor) -> tf.Tensor:
    """Whether an image is a BMP of 8 bits per pixel, of which TensorFlow returns indices into the palette as greys."""
    is_bmp = tf.strings.substr(encoded, 0, 2) == b"BM"
    return is_bmp & (tf.strings.substr(encoded, 28, 2) == b"\x08\x00")


def _bmp_colours(encoded: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """The colours of a BMP with a palette: [height, width, 3], uint8."""
    pixels, header = tf.unstack(tf.io.decode_raw(tf.strings.substr(encoded, 10, 8), tf.int32), num=2)
    palette = tf.strings.substr(encoded, 14 + header, pixels - header - 14)  # blue, green, red, 0 per colour
    colours = tf.reshape(tf.io.decode_raw(palette, tf.uint8), [-1, 4])[:, 2::-1]
    return tf.gather(colours, tf.cast(indices[..., 0], tf.int32))


def _whole(height, width):
    return tf.stack([0, 0, height, width])


def _centre_window(data: Images, resolution: int) -> Window:
    """The centre square whose side is resolution / (resolution + crop_padding) of the shorter side."""

    def window(height, width):
        part = resolution / (resolution + data.crop_padding)
        side = tf.cast(part * tf.cast(tf.minimum(height, width), tf.float32), tf.int32)
        side = tf.maximum(side, 1)
        return tf.stack([(height - side + 1) // 2, (width - side + 1) // 2, side, side])

    return window


def _training_window(seed: tf.Tensor, data: Images, resolution: int) -> Window:
    if data.crop == "inception":
        return _inception_window(seed, data, resolution)
    if data.crop == "scale_jitter":
        return _scale_jitter_window(seed, data, resolution)
    return _whole


def _scale_jitter_window(seed: tf.Tensor, data: Images, resolution: int) -> Window:
    """The window of a random crop after resizing the shorter side to a random whole number of pixels.

    A crop of `resolution` pixels from an image resized by s equals a window of resolution / s pixels, resized by s. In
    that order, only the window is decoded and resized; its side and position are rounded to pixels of the file instead
    of the resized image. A shorter side below `resolution`, too small for a crop, counts as `resolution`.
    """
    smallest, largest = data.shorter_side

    def window(height, width):
        draws = tf.random.stateless_uniform([3], seed)
        shorter_side = smallest + tf.cast(draws[0] * (largest - smallest + 1), tf.int32)
        shortest = tf.minimum(height, width)
        side = tf.cast(tf.round(resolution * shortest / shorter_side), tf.int32)
        side = tf.clip_by_value(side, 1, shortest)
        free = tf.cast(tf.stack([height, width]) - side + 1, tf.float32)
        y, x = tf.unstack(tf.cast(draws[1:] * free, tf.int32))
        return tf.stack([y, x, side, side])

    return window


def _inception_window(seed: tf.Tensor, data: Images, resolution: int) -> Window:
    """A random window: 8 to 100 % of the area, aspect ratio 3/4 to 4/3; the centre square if ten attempts fail."""

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


def _resize_shorter_side(image: tf.Tensor, data: Images, shorter_side: int) -> tf.Tensor:
    """Resizes [height, width, channels], uint8, to float32, keeping the aspect ratio."""
    size = tf.shape(image)[:2]
    size = tf.cast(tf.round(shorter_side * size / tf.reduce_min(size)), tf.int32)
    return tf.ensure_shape(_resize_to(image, data, size), [None, None, data.channels])


def _resize(image: tf.Tensor, data: Images, resolution: int) -> tf.Tensor:
    """Resizes [height, width, channels], uint8, to [resolution, resolution, channels], float32, ignoring the aspect."""
    return _resize_to(image, data, [resolution, resolution])


def _resize_to(image: tf.Tensor, data: Images, size) -> tf.Tensor:
    if data.resize == "bicubic_tf1":
        # TensorFlow 1's kernel: A = -0.75, and pixel centres at integers.
        return tf.raw_ops.ResizeBicubic(images=image[tf.newaxis], size=size)[0]
    return tf.cast(tf.image.resize(image, size, method=data.resize), tf.float32)


def _pad_and_shift(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Shifts an image by up to an eighth of its side (at least a pixel) in each direction, with zero padding."""
    side = image.shape[0]
    pad = max(1, side // 8)
    y, x = tf.unstack(tf.random.stateless_uniform([2], seed, 0, 2 * pad + 1, dtype=tf.int32))
    padded = tf.pad(image, [[pad, pad], [pad, pad], [0, 0]])
    return tf.ensure_shape(padded[y : y + side, x : x + side], image.shape)


def _light(image: tf.Tensor, seed: tf.Tensor, deviation: float) -> tf.Tensor:
    """Adds AlexNet's noise: the same random multiple of each principal component for all pixels."""
    height, width, channels = image.shape
    amounts = tf.random.stateless_normal([3], seed, stddev=deviation)
    noise = 255 * tf.linalg.matvec(tf.constant(COLOUR_EIGENVECTORS), amounts * tf.constant(COLOUR_EIGENVALUES))
    # Row by row: adding [3] along the last axis takes five times as long.
    rows = tf.reshape(image, [height, width * channels]) + tf.tile(noise, [width])
    return tf.reshape(rows, image.shape)


def _subtract(image: tf.Tensor, mean_image: np.ndarray | None) -> tf.Tensor:
    return image if mean_image is None else tf.cast(image, tf.float32) - mean_image

"""Images on their way to the network: every format, crop, kernel, and that a seed decides all chance.

Needs pillow (requirements-dev.txt), to write the formats that TensorFlow only reads.
"""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from flags.recipe import Images
from trainers.data import images

GENERATOR = np.random.default_rng(0)
SEED = tf.constant([3, 14])


def recipe(**fields):
    return Images(name="", train_split="", validation_split="", test_split="", **fields)


def smooth(height, width):
    """A picture without sharp edges, so that lossy formats change it little."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(y / 17 + x / 23 + phase) * np.cos(x / 31 - y / 29 - phase) for phase in (0.0, 1.0, 2.0)]
    return np.stack([127.5 + 120 * wave for wave in waves], axis=-1).astype(np.uint8)


def noise(height, width):
    return GENERATOR.integers(0, 256, (height, width, 3), np.uint8)


def png(image):
    return tf.io.encode_png(image)


def jpeg(image):
    return tf.io.encode_jpeg(image, quality=95, chroma_downsampling=False)


def positions(size=256):
    """An image that shows where its pixels come from: red is the row, green the column."""
    y, x = np.mgrid[:size, :size]
    return np.stack([y, x, np.zeros_like(x)], axis=-1).astype(np.uint8)


def seeds(count):
    return tf.data.Dataset.range(count).map(lambda n: tf.stack([n, n + 7]))


def drawn(encoded, data, resolution, count):
    """Training images of one file with `count` seeds, made by tf.data."""
    mapped = seeds(count).map(lambda seed: images.training_image(encoded, seed, data, resolution))
    return np.stack(list(mapped.as_numpy_iterator()))


@pytest.mark.parametrize(
    "height, width, resolution, padding, window",  # window: y, x, side
    [
        (375, 500, 224, 32, (24, 86, 328)),
        (500, 375, 240, 32, (85, 23, 330)),
        (256, 256, 224, 32, (16, 16, 224)),
        (100, 151, 300, 0, (0, 26, 100)),
        (28, 28, 32, 0, (0, 0, 28)),
    ],
)
def test_evaluation_resizes_the_centre_square_of_the_official_code(height, width, resolution, padding, window):
    image = noise(height, width)
    y, x, side = window
    assert side == int(resolution / (resolution + padding) * min(height, width))
    assert (y, x) == ((height - side + 1) // 2, (width - side + 1) // 2)
    expected = tf.compat.v1.image.resize_bicubic([image[y : y + side, x : x + side]], [resolution, resolution])[0]
    evaluated = images.evaluation_image(png(image), recipe(crop_padding=padding), resolution)
    np.testing.assert_array_equal(evaluated, expected)


def test_a_jpegs_window_is_decoded_like_a_part_of_the_whole():
    encoded = jpeg(smooth(150, 200))
    whole = tf.io.decode_jpeg(encoded)
    np.testing.assert_array_equal(
        images.evaluation_image(encoded, recipe(), 96), images.evaluation_image(png(whole), recipe(), 96)
    )
    np.testing.assert_array_equal(
        images.training_image(encoded, SEED, recipe(), 96), images.training_image(png(whole), SEED, recipe(), 96)
    )


def test_kernels_are_the_ones_that_they_are_called_after():
    image = noise(50, 50)
    size = [32, 32]
    expected = {
        "bicubic_tf1": tf.compat.v1.image.resize_bicubic([image], size)[0],
        "bicubic": tf.image.resize(image, size, "bicubic"),
        "bilinear": tf.image.resize(image, size, "bilinear"),
    }
    for kernel, resized in expected.items():
        data = recipe(resize=kernel, crop="none", flip=False, crop_padding=0)
        np.testing.assert_array_equal(images.training_image(png(image), SEED, data, 32), resized)
        np.testing.assert_array_equal(images.evaluation_image(png(image), data, 32), resized)


@pytest.mark.parametrize("kernel", ["bicubic_tf1", "bicubic"])
def test_bicubic_overshoot_is_kept(kernel):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, 32:] = 255
    resized = images.training_image(png(stripes), SEED, recipe(resize=kernel, crop="none"), 96).numpy()
    assert resized.min() < -5 and resized.max() > 260


def test_autoaugment_gets_and_gives_bytes():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, 32:] = 255
    for augment in ("autoaugment_v0", "autoaugment_v0_scaled"):
        augmented = drawn(png(stripes), recipe(crop="none", augment=augment), 96, 20)
        assert augmented.dtype == np.uint8
        assert len({each.tobytes() for each in augmented}) > 5


def test_inception_crops_keep_to_area_and_aspect_ratio():
    size, resolution = 256, 64
    encoded = png(positions(size))
    crops = drawn(encoded, recipe(resize="bilinear", flip=False), resolution, 300)
    # Half-pixel bilinear samples lie size / resolution apart, the outer ones half of that inside the crop.
    heights = np.ptp(crops[..., 0], axis=(1, 2)) * resolution / (resolution - 1)
    widths = np.ptp(crops[..., 1], axis=(1, 2)) * resolution / (resolution - 1)
    areas, aspects = heights * widths / size**2, widths / heights
    assert 0.07 < areas.min() < 0.15 and 0.85 < areas.max() <= 1.01  # sides are whole pixels
    assert 0.72 < aspects.min() < 0.8 and 1.25 < aspects.max() < 1.37
    assert len({crop.tobytes() for crop in crops}) > 290


@pytest.mark.parametrize("encode", [jpeg, png])
def test_an_image_too_narrow_for_any_crop_gives_its_centre_square(encode):
    encoded = encode(smooth(20, 400))  # a square of 20 pixels is 5 % of it
    data = recipe(flip=False)
    np.testing.assert_array_equal(
        images.training_image(encoded, SEED, data, 64), images.evaluation_image(encoded, data, 64)
    )


def test_half_of_the_images_are_flipped():
    image = smooth(32, 32)
    data = recipe(crop="none", resize="bilinear")
    flips = [np.array_equal(each, image[:, ::-1]) for each in drawn(png(image), data, 32, 400)]
    stays = [np.array_equal(each, image) for each in drawn(png(image), data, 32, 400)]
    assert sum(flips) + sum(stays) == 400
    assert np.mean(flips) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(400))


def test_without_flip_no_image_is_flipped():
    image = smooth(32, 32)
    for each in drawn(png(image), recipe(crop="none", resize="bilinear", flip=False), 32, 20):
        np.testing.assert_array_equal(each, image)


def test_pad_and_shift_moves_by_up_to_an_eighth_in_each_direction():
    image = noise(32, 32)
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
    shifts = {padded[y : y + 32, x : x + 32].astype(np.float32).tobytes(): (y, x) for y in range(9) for x in range(9)}
    seen = {shifts[each.tobytes()] for each in drawn(png(image), recipe(crop="pad_and_shift", flip=False), 32, 800)}
    assert len(seen) > 75  # of 81
    assert {y for y, _ in seen} == {x for _, x in seen} == set(range(9))


def test_pad_and_shift_moves_a_small_image_by_a_pixel():
    each = drawn(png(noise(6, 6)), recipe(crop="pad_and_shift", flip=False), 6, 100)
    assert len({image.tobytes() for image in each}) == 9


@pytest.mark.parametrize("crop", ["inception", "pad_and_shift", "none"])
@pytest.mark.parametrize("kernel", ["bicubic_tf1", "bicubic", "bilinear"])
@pytest.mark.parametrize("resolution", [28, 32, 96])
def test_digits_of_28_pixels_come_in_any_size(crop, kernel, resolution):
    digit = png(noise(28, 28)[..., :1])
    data = recipe(crop=crop, resize=kernel, crop_padding=0)
    trained = images.training_image(digit, SEED, data, resolution)
    evaluated = images.evaluation_image(digit, data, resolution)
    for image in (trained, evaluated):
        assert image.shape == (resolution, resolution, 3)
        np.testing.assert_array_equal(image[..., 0], image[..., 2])  # grey


def test_an_image_of_one_pixel_is_an_image():
    for encoded in (png(noise(1, 1)), jpeg(noise(1, 1))):
        assert images.training_image(encoded, SEED, recipe(), 8).shape == (8, 8, 3)
        assert images.evaluation_image(encoded, recipe(), 8).shape == (8, 8, 3)


def save(image, mode, file_format, **options):
    stream = io.BytesIO()
    Image.fromarray(image).convert(mode).save(stream, file_format, **options)
    return tf.constant(stream.getvalue())


GREY = smooth(40, 60)[..., :1].repeat(3, axis=2)
ALPHA = np.concatenate([smooth(40, 60), np.full((40, 60, 1), 255, np.uint8)], axis=-1)
FORMATS = {
    "JPEG": (save(smooth(40, 60), "RGB", "JPEG", quality=98), smooth(40, 60)),
    "grey JPEG": (save(GREY, "L", "JPEG", quality=98), GREY),
    "CMYK JPEG": (save(smooth(40, 60), "CMYK", "JPEG", quality=98), smooth(40, 60)),
    "PNG": (save(smooth(40, 60), "RGB", "PNG"), smooth(40, 60)),
    "grey PNG": (save(GREY, "L", "PNG"), GREY),
    "PNG with alpha": (save(ALPHA, "RGBA", "PNG"), smooth(40, 60)),
    "grey PNG with alpha": (save(GREY, "LA", "PNG"), GREY),
    "PNG with a palette": (save(GREY[..., 0], "P", "PNG"), GREY),  # a palette of 256 greys
    "GIF": (save(GREY, "L", "GIF"), GREY),
    "BMP": (save(smooth(40, 60), "RGB", "BMP"), smooth(40, 60)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_comes_out_as_rgb(name):
    encoded, expected = FORMATS[name]
    data = recipe(crop_padding=0, resize="bilinear")
    evaluated = images.evaluation_image(encoded, data, 40).numpy()
    tolerance = 12 if "JPEG" in name else 0  # chroma at half resolution
    np.testing.assert_allclose(evaluated, expected[:, 10:50], atol=tolerance)
    assert images.training_image(encoded, SEED, recipe(), 32).shape == (32, 32, 3)


def test_an_animation_gives_its_first_frame():
    frames = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (10, 200)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    evaluated = images.evaluation_image(tf.constant(stream.getvalue()), recipe(crop_padding=0), 8)
    np.testing.assert_array_equal(evaluated, np.full((8, 8, 3), 10))


def test_bytes_that_are_no_image_are_an_error():
    with pytest.raises(tf.errors.InvalidArgumentError):
        images.evaluation_image(tf.constant(b"no image"), recipe(), 8)


@pytest.mark.parametrize("augment", ["none", "autoaugment_v0"])
def test_a_seed_decides_the_image(augment):
    encoded, data = jpeg(smooth(80, 100)), recipe(augment=augment)
    first, again = (drawn(encoded, data, 32, 12) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len({each.tobytes() for each in first}) == 12


def test_shapes_and_types_are_known_inside_tf_data():
    encoded = tf.data.Dataset.from_tensors(jpeg(smooth(40, 60)))
    for augment, dtype in (("none", tf.float32), ("autoaugment_v0", tf.uint8)):
        data = recipe(augment=augment)
        mapped = encoded.map(lambda one, data=data: images.training_image(one, SEED, data, 48))
        assert mapped.element_spec == tf.TensorSpec([48, 48, 3], dtype)
    mapped = encoded.map(lambda one: images.evaluation_image(one, recipe(), 48))
    assert mapped.element_spec == tf.TensorSpec([48, 48, 3], tf.float32)


def test_a_saved_model_serves_what_evaluation_sees(tmp_path):
    data = recipe()
    module = tf.Module()
    signature = [tf.TensorSpec([None], tf.string)]
    module.serve = tf.function(lambda encoded: images.serving_images(encoded, data, 32), input_signature=signature)
    tf.saved_model.save(module, str(tmp_path))
    batch = [encoded for encoded, _ in FORMATS.values()]
    served = tf.saved_model.load(str(tmp_path)).serve(tf.stack(batch))
    assert served.shape == (len(batch), 32, 32, 3)
    for one, encoded in zip(served, batch, strict=True):
        np.testing.assert_array_equal(one, images.evaluation_image(encoded, data, 32))
    assert module.serve(tf.constant([], tf.string)).shape == (0, 32, 32, 3)

"""Images on their way to the network: every format, crop, kernel, and that a seed decides all chance.

Needs pillow (requirements.txt), to write the formats that TensorFlow only reads.
"""

import numpy as np
import pytest
import tensorflow as tf

from flags.data import Images
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


def positions(height=256, width=256):
    """An image that shows where its pixels come from: red is the row, green the column."""
    y, x = np.mgrid[:height, :width]
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
    whole = png(tf.io.decode_jpeg(encoded))
    np.testing.assert_array_equal(
        images.evaluation_image(encoded, recipe(), 96), images.evaluation_image(whole, recipe(), 96)
    )
    for crop in ("inception", "scale_jitter"):
        data = recipe(crop=crop)
        np.testing.assert_array_equal(
            images.training_image(encoded, SEED, data, 96), images.training_image(whole, SEED, data, 96)
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
    encoded = png(positions())
    crops = drawn(encoded, recipe(resize="bilinear", flip=False), resolution, 300)
    # Half-pixel bilinear samples lie size / resolution apart, the outer ones half of that inside the crop.
    heights = np.ptp(crops[..., 0], axis=(1, 2)) * resolution / (resolution - 1)
    widths = np.ptp(crops[..., 1], axis=(1, 2)) * resolution / (resolution - 1)
    areas, aspects = heights * widths / size**2, widths / heights
    assert 0.07 < areas.min() < 0.15 and 0.85 < areas.max() <= 1.01  # sides are whole pixels
    assert 0.72 < aspects.min() < 0.8 and 1.25 < aspects.max() < 1.37
    assert len({crop.tobytes() for crop in crops}) > 290


def test_scale_jitter_draws_every_shorter_side_and_place_alike():
    height, width, resolution = 64, 80, 16
    data = recipe(crop="scale_jitter", shorter_side=(20, 30), resize="bilinear", flip=False)
    crops = drawn(png(positions(height, width)), data, resolution, 2200)
    sides, other_sides = (
        np.ptp(crops[..., channel], axis=(1, 2)) * resolution / (resolution - 1) for channel in (0, 1)
    )
    np.testing.assert_allclose(sides, other_sides, atol=1e-3)  # the aspect ratio is kept
    expected = {round(resolution * height / shorter_side) for shorter_side in range(20, 31)}
    drawn_sides, counts = np.unique(np.round(sides), return_counts=True)
    assert set(drawn_sides) == expected and len(expected) == 11
    assert abs(counts - 200).max() < 4 * np.sqrt(200)
    margins = sides / resolution / 2 - 0.5  # from a crop's edge to the first pixel that is sampled
    y, x = crops[:, 0, 0, 0] - margins, crops[:, 0, 0, 1] - margins
    np.testing.assert_allclose(y, np.round(y), atol=1e-3)
    for place, free in ((y, height - sides), (x, width - sides)):
        assert place.min() > -0.01 and (place - free).max() < 0.01
        assert np.mean(place / free) == pytest.approx(0.5, abs=4 / np.sqrt(12 * 2200))
        assert np.mean(np.abs(place) < 0.01) > 0.01 and np.mean(np.abs(place - free) < 0.01) > 0.01


def test_scale_jitter_crops_what_a_crop_of_the_resized_image_shows():
    image = smooth(80, 100)
    resized = tf.image.resize(image, [40, 50], "bilinear").numpy()
    crops = {resized[y : y + 32, x : x + 32].tobytes() for y in range(9) for x in range(19)}
    data = recipe(crop="scale_jitter", shorter_side=(40, 40), resize="bilinear", flip=False)
    seen = {each.tobytes() for each in drawn(png(image), data, 32, 600)}
    # 17 x 37 places in the file, of which every second one in each direction is a place in the resized image.
    assert len(seen & crops) > 100 and len(seen) > 300


def test_scale_jitter_never_needs_more_than_the_image():
    data = recipe(crop="scale_jitter", shorter_side=(8, 8), resize="bilinear", flip=False)
    image = smooth(20, 20)
    np.testing.assert_array_equal(
        images.training_image(png(image), SEED, data, 32), tf.image.resize(image, [32, 32], "bilinear")
    )


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


MEAN = np.linspace(60, 180, 32 * 32 * 3).reshape(32, 32, 3).astype(np.float32)


def test_pixels_are_centred_before_they_are_padded_cropped_and_flipped():
    image = noise(32, 32)
    padded = np.pad(image - MEAN, ((4, 4), (4, 4), (0, 0)))
    crops = [padded[y : y + 32, x : x + 32] for y in range(9) for x in range(9)]
    expected = {crop[:, ::step].tobytes() for crop in crops for step in (1, -1)}
    data = recipe(crop="pad_and_shift", resize="bilinear")
    mapped = seeds(600).map(lambda seed: images.training_image(png(image), seed, data, 32, MEAN))
    seen = {each.tobytes() for each in mapped.as_numpy_iterator()}
    assert len(seen) > 140 and seen <= expected


def test_ten_crops_are_corners_and_centre_then_their_mirror_images():
    image = noise(40, 50)
    data = recipe(resize="bilinear", crop_padding=8)  # the shorter side stays as it is
    crops = images.ten_crops(png(image), data, 32)
    corners = [(0, 0), (0, 18), (8, 0), (8, 18), (4, 9)]
    expected = np.stack([image[y : y + 32, x : x + 32] for y, x in corners]).astype("float32")
    np.testing.assert_array_equal(crops, np.concatenate([expected, expected[:, :, ::-1]]))
    np.testing.assert_array_equal(crops[4], images.evaluation_image(png(image), data, 32))


def test_the_mean_image_is_subtracted_from_each_crop_as_it_is():
    encoded, data = jpeg(smooth(80, 100)), recipe()
    np.testing.assert_array_equal(images.ten_crops(encoded, data, 32, MEAN), images.ten_crops(encoded, data, 32) - MEAN)


@pytest.mark.parametrize(("size", "expected"), [((60, 100), (30, 50)), ((100, 60), (50, 30)), ((30, 31), (30, 31))])
def test_a_whole_image_keeps_its_aspect_ratio(size, expected):
    image = smooth(*size)
    whole = images.whole_image(png(image), recipe(resize="bilinear"), 30)
    assert whole.shape == (*expected, 3)
    np.testing.assert_array_equal(whole, tf.image.resize(image, expected, "bilinear"))


def test_a_whole_image_loses_the_mean_colour():
    encoded, data = jpeg(smooth(80, 100)), recipe()
    np.testing.assert_allclose(
        images.whole_image(encoded, data, 40, MEAN),
        images.whole_image(encoded, data, 40) - MEAN.reshape(-1, 3).mean(axis=0),
        atol=1e-4,
    )


@pytest.mark.parametrize("lighting", [0.0, 0.1])
def test_what_is_padded_to_a_centred_image_is_exactly_zero(lighting):
    data = recipe(crop="pad_and_shift", lighting=lighting, flip=False)
    mapped = seeds(40).map(lambda seed: images.training_image(png(noise(32, 32)), seed, data, 32, MEAN))
    edges = np.stack(list(mapped.as_numpy_iterator()))[:, 0]  # the first row; shifted down in four cases of nine
    shifted = [np.array_equal(edge, np.zeros_like(edge)) for edge in edges]
    assert 6 < sum(shifted) < 30


@pytest.mark.parametrize("crop", ["inception", "scale_jitter", "none"])
@pytest.mark.parametrize("augment", ["none", "autoaugment_v0"])
def test_from_other_images_the_mean_is_subtracted_last(crop, augment):
    encoded, data = jpeg(smooth(80, 100)), recipe(crop=crop, augment=augment, lighting=0.1)
    for seed in seeds(5):
        centred = images.training_image(encoded, seed, data, 32, MEAN)
        assert centred.dtype == tf.float32
        plain = tf.cast(images.training_image(encoded, seed, data, 32), tf.float32)
        np.testing.assert_array_equal(centred, plain - MEAN)


def test_evaluation_subtracts_the_mean_image():
    encoded, data = jpeg(smooth(80, 100)), recipe()
    np.testing.assert_array_equal(
        images.evaluation_image(encoded, data, 32, MEAN), images.evaluation_image(encoded, data, 32) - MEAN
    )


def test_lighting_adds_one_colour_to_all_pixels_and_changes_nothing_else():
    encoded = jpeg(smooth(80, 100))
    for crop in ("scale_jitter", "inception"):
        with_noise = drawn(encoded, recipe(crop=crop, lighting=0.1), 32, 10)
        noises = with_noise - drawn(encoded, recipe(crop=crop), 32, 10)
        np.testing.assert_allclose(noises, np.broadcast_to(noises[:, :1, :1], noises.shape), atol=1e-4)
        assert len({each.tobytes() for each in noises[:, 0, 0]}) == 10


def test_lighting_has_the_covariance_of_alexnets_formula():
    components = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    eigenvalues = np.array([0.2175, 0.0188, 0.0045])
    data = recipe(crop="none", resize="bilinear", flip=False, lighting=0.1)
    count = 4000
    noises = drawn(png(np.zeros((1, 1, 3), np.uint8)), data, 1, count)[:, 0, 0] / 255
    amounts = np.linalg.solve(components, noises.T) / eigenvalues[:, None]  # N(0, 0.1), independent of each other
    np.testing.assert_allclose(amounts.mean(axis=1), 0, atol=4 * 0.1 / np.sqrt(count))
    np.testing.assert_allclose(amounts.std(axis=1), 0.1, rtol=4 / np.sqrt(2 * count))
    np.testing.assert_allclose(np.corrcoef(amounts), np.eye(3), atol=4 / np.sqrt(count))
    expected = components @ np.diag((0.1 * eigenvalues) ** 2) @ components.T
    np.testing.assert_allclose(np.cov(noises.T), expected, rtol=0.15)


def test_a_new_kind_of_noise_leaves_the_draws_of_the_others_as_they_were():
    image = smooth(32, 32)
    for seed in seeds(20):
        flip_seed = tf.random.split(seed, 3)[1]  # crop, flip, AutoAugment: as the first recipes drew them
        np.testing.assert_array_equal(
            images.training_image(png(image), seed, recipe(crop="none", resize="bilinear"), 32),
            tf.image.stateless_random_flip_left_right(tf.cast(image, tf.float32), flip_seed),
        )


@pytest.mark.parametrize("crop", ["inception", "scale_jitter", "pad_and_shift", "none"])
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
        for crop in ("inception", "scale_jitter"):
            assert images.training_image(encoded, SEED, recipe(crop=crop), 8).shape == (8, 8, 3)
        assert images.evaluation_image(encoded, recipe(), 8).shape == (8, 8, 3)


@pytest.mark.parametrize(
    "fields", [{}, {"augment": "autoaugment_v0"}, {"crop": "scale_jitter", "lighting": 0.1}, {"crop": "pad_and_shift"}]
)
def test_a_seed_decides_the_image(fields):
    encoded, data = jpeg(smooth(80, 100)), recipe(**fields)
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

"""AutoAugment's operations against PIL and NumPy, its table against the recipe's numbers, and its draws.

Needs pillow (requirements.txt).
"""

import collections

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from trainers.data import autoaugment
from trainers.data.autoaugment import augment

GENERATOR = np.random.default_rng(0)
IMAGES = {
    "noise": GENERATOR.integers(0, 256, (32, 48, 3), np.uint8),
    "narrow": GENERATOR.integers(90, 140, (48, 32, 3), np.uint8),  # a histogram with gaps once it is stretched
    "usual": GENERATOR.normal(110, 45, (20, 20, 3)).clip(5, 250).astype(np.uint8),
    "dark": GENERATOR.geometric(0.05, (40, 40, 3)).clip(0, 255).astype(np.uint8),
    "two values": np.where(GENERATOR.random((32, 32, 1)) < 0.2, 7, 200).astype(np.uint8).repeat(3, axis=2),
    "constant": np.full((16, 16, 3), (0, 77, 255), np.uint8),
    "tiny": GENERATOR.integers(0, 256, (5, 7, 3), np.uint8),  # too few pixels for equalize
}


@pytest.fixture(params=IMAGES)
def image(request):
    return IMAGES[request.param]


def pil(function, image, *args):
    return np.asarray(function(Image.fromarray(image), *args))


def test_equalize_equals_pil(image):
    np.testing.assert_array_equal(autoaugment.equalize(tf.constant(image)), pil(ImageOps.equalize, image))


def test_autocontrast_equals_pil_up_to_float32(image):
    stretched = np.asarray(autoaugment.autocontrast(tf.constant(image)), int)
    # A product just below a whole number in PIL's float64 may reach it in the released code's float32.
    np.testing.assert_allclose(stretched, pil(ImageOps.autocontrast, image), atol=1)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_posterize_equals_pil(image, bits):
    kept = autoaugment.posterize(tf.constant(image), tf.constant(float(bits)))
    np.testing.assert_array_equal(kept, pil(ImageOps.posterize, image, bits))


@pytest.mark.parametrize("threshold", [0, 1, 51, 204, 255])
def test_solarize_equals_pil(image, threshold):
    solarized = autoaugment.solarize(tf.constant(image), tf.constant(float(threshold)))
    np.testing.assert_array_equal(solarized, pil(ImageOps.solarize, image, threshold))


def test_invert_equals_pil(image):
    np.testing.assert_array_equal(autoaugment.invert(tf.constant(image)), pil(ImageOps.invert, image))


@pytest.mark.parametrize("factor", [0.1, 0.82, 1.0, 1.18, 1.72])
def test_color_equals_pil_up_to_the_rounding_of_grey(image, factor):
    colored = np.asarray(autoaugment.color(tf.constant(image), tf.constant(factor)), int)
    # PIL and TensorFlow round grey differently, by one at most; the blend takes it |1 - factor| times, and truncates.
    np.testing.assert_allclose(colored, pil(lambda x: ImageEnhance.Color(x).enhance(factor), image), atol=2)


@pytest.mark.parametrize("addend", [33, 77, 110])
def test_solarize_add_brightens_values_below_128(image, addend):
    added = autoaugment.solarize_add(tf.constant(image), tf.constant(float(addend)))
    expected = np.where(image < 128, np.clip(image.astype(int) + addend, 0, 255), image)
    np.testing.assert_array_equal(added, expected)


def transform_with_numpy(image, matrix):
    """Output pixel (x, y) from the nearest input pixel to matrix @ (x, y, 1), else 128."""
    height, width, _ = image.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    source_x, source_y = np.tensordot(np.asarray(matrix, np.float32), np.stack([x, y, np.ones_like(x)]), axes=1)
    nearest = [np.trunc(s + np.copysign(np.float32(0.5), s)).astype(int) for s in (source_y, source_x)]
    inside = (nearest[0] >= 0) & (nearest[0] < height) & (nearest[1] >= 0) & (nearest[1] < width)
    result = np.full_like(image, 128)
    result[inside] = image[nearest[0][inside], nearest[1][inside]]
    return result


@pytest.mark.parametrize("slope", [0.12, -0.27])
def test_shears_take_the_nearest_pixel_or_grey(image, slope):
    sheared = autoaugment.shear_x(tf.constant(image), tf.constant(slope))
    np.testing.assert_array_equal(sheared, transform_with_numpy(image, [[1, slope, 0], [0, 1, 0]]))
    sheared = autoaugment.shear_y(tf.constant(image), tf.constant(slope))
    np.testing.assert_array_equal(sheared, transform_with_numpy(image, [[1, 0, 0], [slope, 1, 0]]))


@pytest.mark.parametrize("pixels", [3, -4])
def test_translation_moves_rows_and_uncovers_grey(image, pixels):
    translated = autoaugment.translate_y(tf.constant(image), tf.constant(float(pixels)))
    np.testing.assert_array_equal(translated, transform_with_numpy(image, [[1, 0, 0], [0, 1, pixels]]))


@pytest.mark.parametrize("degrees", [24, -9])
def test_rotation_turns_about_the_centre(degrees):
    image = IMAGES["noise"]
    height, width, _ = image.shape
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    expected = transform_with_numpy(image, np.c_[turn, centre - turn @ centre])
    rotated = autoaugment.rotate(tf.constant(image), tf.constant(float(degrees))).numpy()
    differs = np.any(rotated != expected, axis=-1)
    assert differs.mean() < 0.01  # sums in another order: pixels halfway between two


def test_rotation_by_a_right_angle_is_counterclockwise():
    image = IMAGES["dark"]
    np.testing.assert_array_equal(autoaugment.rotate(tf.constant(image), tf.constant(90.0)), np.rot90(image))


def test_no_magnitude_means_no_change(image):
    for operation in (autoaugment.rotate, autoaugment.shear_x, autoaugment.shear_y, autoaugment.translate_y):
        np.testing.assert_array_equal(operation(tf.constant(image), tf.constant(0.0)), image)


def test_posterize_to_no_bits_keeps_one():
    image = IMAGES["noise"]
    np.testing.assert_array_equal(autoaugment.posterize(tf.constant(image), tf.constant(0.0)), image & 128)


def test_solarize_from_256_inverts_everything():
    image = IMAGES["noise"]
    np.testing.assert_array_equal(autoaugment.solarize(tf.constant(image), tf.constant(256.0)), 255 - image)


# Section 5.2 of the recipe: operation, probability, effective magnitude (None: it has none), twice a row.
EFFECTIVE = [
    (("equalize", 0.8, None), ("shear_y", 0.8, 0.12)),
    (("color", 0.4, 1.72), ("equalize", 0.6, None)),
    (("color", 0.4, 0.28), ("rotate", 0.6, 24)),
    (("solarize", 0.8, 76), ("equalize", 0.4, None)),
    (("solarize", 0.4, 51), ("solarize", 0.6, 51)),
    (("color", 0.2, 0.10), ("equalize", 0.8, None)),
    (("equalize", 0.4, None), ("solarize_add", 0.8, 33)),
    (("shear_x", 0.2, 0.27), ("rotate", 0.6, 24)),
    (("color", 0.6, 0.28), ("equalize", 1.0, None)),
    (("invert", 0.4, None), ("rotate", 0.6, 0)),
    (("equalize", 1.0, None), ("shear_y", 0.6, 0.09)),
    (("color", 0.4, 1.36), ("equalize", 0.6, None)),
    (("posterize", 0.4, 2), ("autocontrast", 0.4, None)),
    (("solarize", 0.6, 204), ("color", 0.6, 1.72)),
    (("solarize", 0.2, 102), ("rotate", 0.8, 27)),
    (("rotate", 1.0, 21), ("translate_y", 0.8, 225)),
    (("shear_x", 0.0, 0), ("solarize", 0.8, 102)),
    (("shear_y", 0.8, 0), ("color", 0.6, 0.82)),
    (("color", 1.0, 0.10), ("rotate", 0.6, 6)),
    (("equalize", 0.8, None), ("equalize", 0.0, None)),
    (("equalize", 1.0, None), ("autocontrast", 0.6, None)),
    (("shear_y", 0.4, 0.21), ("solarize_add", 0.6, 77)),
    (("posterize", 0.8, 0), ("solarize", 0.6, 256)),
    (("solarize", 0.6, 204), ("equalize", 0.6, None)),
    (("color", 0.8, 1.18), ("rotate", 0.4, 15)),
]
SIGNED = ("rotate", "shear_x", "shear_y", "translate_y")


def outcomes_of(operation, image):
    """(probability, image) of each thing that one entry of the table can do to an image."""
    name, probability, magnitude = operation
    signs = (1, -1) if name in SIGNED else (1,)
    outcomes = [(1 - probability, image)]
    for sign in signs:
        arguments = () if magnitude is None else (tf.constant(sign * magnitude, tf.float32),)
        outcomes.append((probability / len(signs), getattr(autoaugment, name)(image, *arguments)))
    return [(chance, outcome) for chance, outcome in outcomes if chance > 0]


def distribution(image):
    """The exact probability of every image that the policy can make of `image`; images as bytes."""
    chances = collections.Counter()
    for first, second in EFFECTIVE:
        for chance, once in outcomes_of(first, image):
            for other, twice in outcomes_of(second, once):
                chances[twice.numpy().tobytes()] += chance * other / len(EFFECTIVE)
    return chances


def seeds(count):
    return tf.data.Dataset.range(count).map(lambda n: tf.stack([n, n + 5]))


def test_every_outcome_of_the_25_rows_appears_with_its_exact_probability():
    image = tf.constant(IMAGES["usual"])
    expected = distribution(image)
    assert sum(expected.values()) == pytest.approx(1)

    count = 8000
    augmented = seeds(count).map(lambda seed: augment(image, seed), num_parallel_calls=tf.data.AUTOTUNE)
    observed = collections.Counter(each.tobytes() for each in augmented.as_numpy_iterator())
    assert set(observed) == set(expected)
    for outcome, chance in expected.items():
        # Five standard deviations of a count: fixed seeds, so this passes always or never.
        assert observed[outcome] == pytest.approx(count * chance, abs=5 * np.sqrt(count * chance))


def uncovered_part(height, scaled):
    """The largest part of a black image's middle column that any of 400 draws makes 128, as only uncovering does."""
    black = tf.zeros([height, height, 3], tf.uint8)
    augmented = seeds(400).map(lambda seed: augment(black, seed, scaled=scaled), num_parallel_calls=tf.data.AUTOTUNE)
    return max(np.mean(each[:, height // 2] == 128) for each in augmented.as_numpy_iterator())


def test_translation_as_released_leaves_nothing_of_an_image_of_224_pixels():
    assert uncovered_part(224, scaled=False) == 1


@pytest.mark.parametrize("height", [64, 160])
def test_scaled_translation_leaves_the_same_part_of_an_image_of_any_size(height):
    # 0.9 * 150 / 331 of the height moved away; the rotation by 21 degrees before it uncovers none of the middle column.
    assert uncovered_part(height, scaled=True) == pytest.approx(0.9 * 150 / 331, abs=1 / height)


def test_a_seed_decides_the_result():
    image = tf.constant(IMAGES["usual"])
    eager = [augment(image, seed).numpy() for seed in seeds(10)]
    mapped = seeds(10).map(lambda seed: augment(image, seed), num_parallel_calls=2)
    np.testing.assert_array_equal(eager, list(mapped.as_numpy_iterator()))
    assert len({each.tobytes() for each in eager}) > 3


def test_shape_and_type_stay_known_inside_tf_data():
    image = tf.zeros([17, 23, 3], tf.uint8)
    for scaled in (False, True):
        mapped = seeds(1).map(lambda seed, scaled=scaled: augment(image, seed, scaled=scaled))
        assert mapped.element_spec == tf.TensorSpec([17, 23, 3], tf.uint8)

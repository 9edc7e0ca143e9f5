"""Random features by their definition, in float64, and what of a model lasts through a file."""

import keras
import numpy as np
import pytest

import tf_models
from tf_models.random_features import FEATURES, HEAD, features_of

SHAPE, D = (4, 4, 1), 30
KINDS = ("complex", "cosine", "relu")


def build(kind="complex", num_features=D, **options):
    return tf_models.build_model(
        "random_features", num_classes=3, input_shape=SHAPE, num_features=num_features, kind=kind, **options
    )


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(-1, 1, (5, *SHAPE))


def features(model, images):
    return features_of(model)(images).numpy()


def phases(model, images):
    """<w, x> in NumPy: [images, D]."""
    return images.reshape(len(images), -1) @ model.get_layer(FEATURES).frequencies.numpy().astype(np.float64)


def test_complex_features_are_those_of_the_definition(images):
    model = build("complex")
    numbers = model.get_layer(FEATURES).numbers(features(model, images))
    np.testing.assert_allclose(numbers, np.exp(-1j * phases(model, images)), atol=1e-14)


def test_cosine_features_are_those_of_the_definition(images):
    model = build("cosine")
    offsets = model.get_layer(FEATURES).offsets.numpy().astype(np.float64)
    expected = np.sqrt(2 / D) * np.cos(phases(model, images) + offsets)
    np.testing.assert_allclose(features(model, images), expected, atol=1e-14)
    assert 0 <= offsets.min() < offsets.max() < 2 * np.pi


def test_relu_features_are_those_of_the_definition(images):
    model = build("relu")
    np.testing.assert_allclose(features(model, images), np.maximum(phases(model, images), 0), atol=1e-14)


def test_the_score_is_the_real_part_of_a_complex_head(images):
    model = build("complex")
    layer, draws = model.get_layer(FEATURES), np.random.default_rng(1).standard_normal((2, D, 3))
    weights = draws[0] + 1j * draws[1]
    model.get_layer(HEAD).kernel.assign(layer.head_kernel(weights))
    expected = (np.exp(-1j * phases(model, images)) @ weights).real
    np.testing.assert_allclose(model(images).numpy(), expected, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_begins_at_zero_and_computes_in_float64(kind, images):
    scores = build(kind)(images).numpy()
    assert scores.dtype == np.float64
    assert not scores.any()


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_head_is_trained(kind):
    (kernel,) = build(kind).trainable_weights
    assert kernel.path == "predictions/kernel"
    assert tuple(kernel.shape) == (2 * D if kind == "complex" else D, 3)


def test_a_precision_of_the_run_leaves_float64_alone(images):
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        mixed = features(build("cosine"), images)
    finally:
        keras.config.set_dtype_policy(before)
    assert np.array_equal(mixed, features(build("cosine"), images))


@pytest.mark.parametrize(
    "options, deviation",
    [({}, 1 / 28), ({"scale": "num_features"}, 1 / np.sqrt(2000)), ({"scale": 0.2}, 0.2)],
)
def test_frequencies_have_the_standard_deviation_asked_for(options, deviation):
    model = tf_models.build_model("random_features", num_features=2000, **options)
    assert model.get_layer(FEATURES).frequencies.numpy().std() == pytest.approx(deviation, rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_features_and_another_seed_others(kind, images):
    one, same, other = (features(build(kind, feature_seed=seed), images) for seed in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)


def test_fewer_features_are_the_first_of_more(images):
    few, many = build("relu", num_features=10), build("relu", num_features=50)
    np.testing.assert_allclose(features(few, images), features(many, images)[:, :10], atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gives_back_the_same_scores_to_the_bit(kind, images, tmp_path):
    # A solution of norm 1e9, as where D = n: one rounding to float32 would be seen in its scores.
    model = build(kind)
    kernel = model.get_layer(HEAD).kernel
    kernel.assign(1e9 * np.random.default_rng(2).standard_normal(kernel.shape))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(loaded(images).numpy(), model(images).numpy())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"kind": "sine"}, "kind='sine': must be one of 'complex', 'cosine', 'relu'"),
        ({"num_features": 0}, "num_features=0: must be an integer of 1 or more"),
        ({"scale": -1.0}, "scale=-1.0: must be a positive number, or one of input_dim, num_features"),
        ({"scale": "pixels"}, "scale='pixels': must be a positive number"),
        ({"input_shape": (None, 28, 1)}, "must be known"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(ValueError) as raised:
        tf_models.build_model("random_features", **options)
    assert message in str(raised.value)


def test_products_with_frequencies_and_head_are_counted():
    assert tf_models.inspection.multiply_adds(build("cosine")) == 16 * D + D * 3

"""EfficientNet: the structure of Table 1, its scaling, its initial weights, and what a Keras model must do."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_models
from tests.tf_models.suite import precision
from tf_models import inspection
from tf_models.efficientnet import blocks, compound_scaling, round_filters, round_repeats

SMALL = dict(num_classes=7, input_shape=(32, 32, 3), width=0.25, depth=0.3)

# B0 block by block: kernel, stride, channels in, inside, out, squeezed, drop rate, trainable, multiply-adds in 10,000s.
B0 = {
    "1a": (3, 1, 32, 32, 16, 8, 0.0, 1_448, 1004),
    "2a": (3, 2, 16, 96, 24, 4, 0.0125, 6_004, 2920),
    "2b": (3, 1, 24, 144, 24, 6, 0.025, 10_710, 2574),
    "3a": (5, 2, 24, 144, 40, 6, 0.0375, 15_350, 1818),
    "3b": (5, 1, 40, 240, 40, 10, 0.05, 31_290, 1976),
    "4a": (3, 2, 40, 240, 80, 10, 0.0625, 37_130, 1172),
    "4b": (3, 1, 80, 480, 80, 20, 0.075, 102_900, 1592),
    "4c": (3, 1, 80, 480, 80, 20, 0.0875, 102_900, 1592),
    "5a": (5, 1, 80, 480, 112, 20, 0.1, 126_004, 2043),
    "5b": (5, 1, 112, 672, 112, 28, 0.1125, 208_572, 3283),
    "5c": (5, 1, 112, 672, 112, 28, 0.125, 208_572, 3283),
    "6a": (5, 2, 112, 672, 192, 28, 0.1375, 262_492, 2193),
    "6b": (5, 1, 192, 1152, 192, 48, 0.15, 587_952, 2320),
    "6c": (5, 1, 192, 1152, 192, 48, 0.1625, 587_952, 2320),
    "6d": (5, 1, 192, 1152, 192, 48, 0.175, 587_952, 2320),
    "7a": (3, 1, 192, 1152, 320, 48, 0.1875, 717_232, 2952),
}
WITH_SHORTCUT = {"2b", "3b", "4b", "4c", "5b", "5c", "6b", "6c", "6d"}


@pytest.fixture(scope="module")
def b0():
    return tf_models.build_model("efficientnet_b0")


@pytest.fixture(scope="module")
def small():
    keras.utils.set_random_seed(0)
    return tf_models.build_model("efficientnet", **SMALL)


@pytest.fixture
def images():
    return tf.random.stateless_normal((4, 32, 32, 3), seed=[1, 2])


def test_the_blocks_of_b0_are_those_of_table_1():
    described = {
        block.name.removeprefix("block"): (
            block.kernel,
            block.stride,
            block.filters_in,
            block.filters_mid,
            block.filters_out,
            block.squeezed,
        )
        for block in blocks(width=1, depth=1, survival_probability=0.8)
    }
    assert described == {name: row[:6] for name, row in B0.items()}


def test_the_blocks_of_b0_are_dropped_at_rates_that_grow_to_a_fifth():
    rates = [block.drop_rate for block in blocks(width=1, depth=1, survival_probability=0.8)]
    assert rates == pytest.approx([row[6] for row in B0.values()])


def test_drop_rates_are_spread_over_the_scaled_number_of_blocks():
    rates = [block.drop_rate for block in blocks(width=2, depth=3.1, survival_probability=0.8)]
    assert len(rates) == 55
    assert rates == pytest.approx([0.2 * i / 55 for i in range(55)])


def test_each_block_of_b0_has_the_parameters_of_the_table(b0):
    counted = {
        name: sum(
            math.prod(w.shape)
            for layer in b0.layers
            if layer.name.startswith(f"block{name}_")
            for w in layer.trainable_weights
        )
        for name in B0
    }
    assert counted == {name: row[7] for name, row in B0.items()}


def test_each_block_of_b0_has_the_multiply_adds_of_the_table(b0):
    rows = inspection.layer_table(b0)
    counted = {name: sum(row.multiply_adds for row in rows if row.name.startswith(f"block{name}_")) for name in B0}
    assert {name: round(count / 1e4) for name, count in counted.items()} == {name: row[8] for name, row in B0.items()}


def test_the_shortcuts_of_b0_are_where_shape_and_stride_allow(b0):
    added = {layer.name[5:7] for layer in b0.layers if isinstance(layer, keras.layers.Add)}
    assert added == WITH_SHORTCUT


def test_stochastic_depth_drops_whole_examples_of_the_blocks_with_shortcut(b0):
    drops = {layer.name: layer for layer in b0.layers if layer.name.startswith("block") and layer.name.endswith("drop")}
    assert set(drops) == {f"block{name}_drop" for name in WITH_SHORTCUT}
    for name, layer in drops.items():
        assert layer.noise_shape == (None, 1, 1, 1)
        assert layer.rate == pytest.approx(B0[name[5:7]][6])


def test_without_stochastic_depth_and_dropout_nothing_is_dropped():
    model = tf_models.build_model("efficientnet", **SMALL, dropout=0, survival_probability=1)
    assert not [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]


def test_stem_and_head_of_b0_have_the_parameters_of_the_table(b0):
    def trainable(*names):
        return sum(math.prod(w.shape) for name in names for w in b0.get_layer(name).trainable_weights)

    assert trainable("stem_conv", "stem_bn") == 928
    assert trainable("top_conv", "top_bn") == 412_160
    assert trainable("predictions") == 1_281_000


def test_every_batch_norm_has_the_paper_s_momentum_and_epsilon(b0):
    norms = [layer for layer in b0.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 49
    assert {(norm.momentum, norm.epsilon) for norm in norms} == {(0.99, 1e-3)}


def test_the_top_dropout_is_the_variant_s_own(b0):
    assert b0.get_layer("top_dropout").rate == 0.2


@pytest.mark.parametrize(
    ("filters", "width", "rounded"),
    [(32, 1.0, 32), (32, 1.1, 32), (32, 1.2, 40), (16, 1.2, 24), (80, 1.1, 88), (8, 0.1, 8)],
)
def test_filters_are_rounded_to_eights_and_never_far_down(filters, width, rounded):
    assert round_filters(filters, width) == rounded


@pytest.mark.parametrize("filters", [16, 24, 40, 80, 112, 192, 320, 1280])
def test_rounding_takes_at_most_a_tenth(filters):
    for width in np.arange(0.1, 6, 0.07):
        rounded = round_filters(filters, width)
        assert rounded % 8 == 0
        assert rounded >= 0.9 * filters * width


@pytest.mark.parametrize(("repeats", "depth", "rounded"), [(1, 1.1, 2), (3, 1.4, 5), (4, 3.1, 13), (1, 1.0, 1)])
def test_repeats_are_rounded_up(repeats, depth, rounded):
    assert round_repeats(repeats, depth) == rounded


@pytest.mark.parametrize(
    ("phi", "depth", "width", "resolution"),
    [(0, 1, 1, 224), (1, 1.2, 1.1, 258), (2, 1.44, 1.21, 296), (4, 2.07, 1.46, 392), (7, 3.58, 1.95, 596)],
)
def test_compound_scaling_follows_equation_3(phi, depth, width, resolution):
    scaling = compound_scaling(phi)
    assert (round(scaling.depth, 2), round(scaling.width, 2), scaling.resolution) == (depth, width, resolution)


def test_compound_scaling_shrinks_for_a_negative_phi():
    scaling = compound_scaling(-1)
    assert scaling.width < 1
    assert scaling.depth < 1
    assert scaling.resolution < 224


@pytest.mark.parametrize("argument", ["alpha", "beta", "gamma"])
def test_compound_scaling_refuses_a_base_below_one(argument):
    with pytest.raises(ValueError, match=f"{argument}=0.9: must be a number of 1 or more"):
        compound_scaling(1, **{argument: 0.9})


def test_a_stage_of_more_than_26_blocks_still_has_names_of_letters():
    names = [block.name for block in blocks(width=1, depth=8, survival_probability=0.8)]
    assert len(set(names)) == len(names) == 128
    assert {"block6a", "block6z", "block6aa", "block6af"} <= set(names)


@pytest.mark.parametrize(
    ("layer", "spread"),
    [
        ("block6b_expand_conv", math.sqrt(2 / 1152)),
        ("block6b_dwconv", math.sqrt(2 / 25)),
        ("block6b_se_reduce", math.sqrt(2 / 48)),
        ("top_conv", math.sqrt(2 / 1280)),
    ],
)
def test_convolutions_start_normal_by_fan_out_and_not_truncated(b0, layer, spread):
    values = b0.get_layer(layer).kernel.numpy().ravel() / spread
    error = 5 / math.sqrt(values.size)  # five standard errors
    assert values.mean() == pytest.approx(0, abs=error)
    assert values.std() == pytest.approx(1, abs=error)
    # A normal beyond 2.3 sigma: 2.1 % of the values. A truncated one, rescaled to the same variance, has none.
    assert np.mean(np.abs(values) > 2.3) == pytest.approx(0.0214, abs=0.15 * error)


def test_the_classifier_starts_uniform_by_the_number_of_classes(b0):
    kernel, bias = (w.numpy() for w in b0.get_layer("predictions").weights)
    limit = 1 / math.sqrt(1000)
    assert np.abs(kernel).max() == pytest.approx(limit, rel=1e-3)
    assert kernel.std() == pytest.approx(limit / math.sqrt(3), rel=1e-2)
    assert not bias.any()


def test_grey_images_are_possible():
    model = tf_models.build_model("efficientnet", **SMALL | {"input_shape": (28, 28, 1)})
    assert model(tf.zeros((1, 28, 28, 1))).shape == (1, 7)


def test_the_feature_extractor_gives_pooled_features(small, images):
    extractor = tf_models.build_model("efficientnet", **SMALL, include_top=False)
    extractor.set_weights(small.get_weights()[:-2])
    kernel, bias = small.get_layer("predictions").get_weights()
    np.testing.assert_allclose(extractor(images) @ kernel + bias, small(images), rtol=1e-5, atol=1e-6)


def test_an_exported_model_gives_the_live_model_s_logits(small, images, tmp_path):
    small.export(tmp_path / "saved_model", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved_model")
    np.testing.assert_allclose(served.serve(images), small(images), rtol=1e-5, atol=1e-6)


def test_float16_gives_logits_near_those_of_float32_and_every_weight_a_finite_gradient(small, images):
    with precision("mixed_float16"):
        model = tf_models.build_model("efficientnet", **SMALL)
    model.set_weights(small.get_weights())
    # float16 keeps 11 bits: a relative 2^-11 per rounding, over some thirty layers whose errors add like a random walk.
    difference = np.linalg.norm(model(images) - small(images)) / np.linalg.norm(small(images))
    assert difference < 0.0125
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(images, training=True)))
    for gradient in tape.gradient(loss, model.trainable_variables):
        assert gradient.dtype == tf.float32
        assert np.isfinite(gradient).all()


def test_the_loss_falls_on_one_fixed_batch():
    keras.utils.set_random_seed(1)
    model = tf_models.build_model("efficientnet", **SMALL | {"dropout": 0, "survival_probability": 1})
    images = tf.random.stateless_normal((14, 32, 32, 3), seed=[3, 4])
    labels = tf.range(14) % 7
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    losses = [float(step()) for _ in range(20)]
    assert losses[-1] < losses[0] / 2

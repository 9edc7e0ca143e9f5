"""The five-layer CNN of Deep Double Descent: counts, layers, initial weights; and that it is saved and trained."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_models
from tf_models import inspection

TEN_CLASSES = {  # k: trainable parameters, three channels; 64 was also logged by others who trained this network
    1: 540,
    2: 1_826,
    4: 6_666,
    8: 25_418,
    10: 39_330,
    12: 56_266,
    16: 99_210,
    20: 154_250,
    32: 391_946,
    64: 1_558_026,
    128: 6_212_618,
}
HUNDRED_CLASSES = {
    1: 1_350,
    2: 3_356,
    4: 9_636,
    8: 31_268,
    10: 46_620,
    12: 64_996,
    16: 110_820,
    20: 168_740,
    32: 415_076,
    64: 1_604_196,
    128: 6_304_868,
}


@functools.cache
def shared(k: int = 4, side: int = 32, channels: int = 3, num_classes: int = 10) -> keras.Model:
    """A network for tests that only look."""
    return build(k, side, channels, num_classes)


def build(k: int = 4, side: int = 32, channels: int = 3, num_classes: int = 10) -> keras.Model:
    return tf_models.build_model("cnn5", k=k, input_shape=(side, side, channels), num_classes=num_classes)


def images(side: int = 32, channels: int = 3, batch: int = 2) -> tf.Tensor:
    return tf.random.stateless_normal((batch, side, side, channels), seed=[1, 2])


# Counts


def closed_form(k: int, num_classes: int) -> int:
    return 378 * k**2 + 72 * k + 8 * num_classes * k + num_classes


@pytest.mark.parametrize(("num_classes", "expected"), [(10, TEN_CLASSES), (100, HUNDRED_CLASSES)])
def test_parameters_count_to_the_unit(num_classes, expected):
    assert {k: closed_form(k, num_classes) for k in expected} == expected


@pytest.mark.parametrize(("k", "num_classes"), [(1, 2), (3, 10), (8, 100), (64, 10)])
def test_parameters_follow_the_closed_form(k, num_classes):
    counted = inspection.parameters(build(k, num_classes=num_classes))
    assert counted.trainable == closed_form(k, num_classes)
    assert counted.non_trainable == 2 * 15 * k  # means and variances of k + 2k + 4k + 8k channels


@pytest.mark.parametrize("k", [1, 8, 64])
def test_gray_images_take_18_k_parameters_fewer(k):
    gray, colour = (inspection.parameters(build(k, channels=channels)).trainable for channels in (1, 3))
    assert colour - gray == 18 * k


def test_parameters_do_not_depend_on_the_side():
    assert inspection.parameters(shared(side=28)) == inspection.parameters(shared(side=32))


@pytest.mark.parametrize(("side", "channels"), [(32, 3), (28, 1)])
def test_multiply_adds_are_those_of_the_maps_before_each_pool(side, channels):
    k = 4
    kernels = (9 * channels * k, 9 * k * 2 * k, 9 * 2 * k * 4 * k, 9 * 4 * k * 8 * k)
    pixels = [side**2, side**2, (side // 2) ** 2, (side // 4) ** 2]
    expected = sum(kernel * pixel for kernel, pixel in zip(kernels, pixels)) + 8 * k * 10
    assert inspection.multiply_adds(shared(k, side, channels)) == expected


# Layers


def test_the_paper_s_network_is_what_is_built_when_nothing_is_said():
    model = tf_models.build_model("cnn5")
    assert model.input_shape == (None, 32, 32, 3)
    assert inspection.parameters(model).trainable == TEN_CLASSES[64]


def test_layers_come_in_the_paper_s_order():
    kinds = [type(layer).__name__ for layer in shared().layers]
    block = ["Conv2D", "BatchNormalization", "Activation"]
    pooled = [*block, "MaxPooling2D"]
    assert kinds == ["InputLayer", *block, *pooled, *pooled, *pooled, "Flatten", "Dense"]


@pytest.mark.parametrize(("side", "windows"), [(32, [2, 2, 8]), (28, [2, 2, 7]), (4, [2, 2, 1])])
def test_the_last_pool_takes_the_whole_map(side, windows):
    model = shared(side=side)
    pools = [layer for layer in model.layers if isinstance(layer, keras.layers.MaxPooling2D)]
    assert [pool.pool_size for pool in pools] == [pool.strides for pool in pools] == [(size, size) for size in windows]
    assert model.get_layer("block4_pool").output.shape == (None, 1, 1, 8 * 4)


def test_images_need_not_be_square():
    model = tf_models.build_model("cnn5", k=1, input_shape=(8, 20, 2))
    assert model.get_layer("block4_pool").pool_size == (2, 5)
    assert model(tf.zeros((3, 8, 20, 2))).shape == (3, 10)


def test_batch_norm_has_pytorch_s_settings():
    norms = [layer for layer in shared().layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert [(norm.epsilon, norm.momentum) for norm in norms] == [(1e-5, 0.9)] * 4
    for norm in norms:
        before = [norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance]
        assert [set(weight.numpy()) for weight in before] == [{1.0}, {0.0}, {0.0}, {1.0}]


# Initial weights


def fan_ins(model: keras.Model) -> dict[str, int]:
    """What one output of each layer sums over, by the layer's name."""
    layers = [layer for layer in model.layers if hasattr(layer, "kernel")]
    return {layer.name: int(np.prod(layer.kernel.shape[:-1])) for layer in layers}


def test_several_fan_ins_are_there_to_tell_rules_apart():
    expected = {"block1_conv": 27, "block2_conv": 576, "block3_conv": 1152, "block4_conv": 2304, "predictions": 512}
    assert fan_ins(shared(64)) == expected


@pytest.mark.parametrize("weight", ["kernel", "bias"])
def test_weights_and_biases_begin_uniform_within_one_over_the_root_of_fan_in(weight):
    keras.utils.set_random_seed(0)
    model = build(64, num_classes=100)
    for name, fan_in in fan_ins(model).items():
        values = np.sort(getattr(model.get_layer(name), weight).numpy().ravel()) * np.sqrt(fan_in)
        assert np.abs(values).max() <= 1, name
        # Kolmogorov's distance to the uniform distribution; a true sample passes 1.95 / sqrt(n) once in a thousand.
        ranks = (np.arange(values.size) + 0.5) / values.size
        assert np.abs((values + 1) / 2 - ranks).max() < 1.95 / np.sqrt(values.size), name


def test_biases_do_not_repeat_the_numbers_of_their_kernel():
    model = seeded(0, k=8)
    for name in fan_ins(model):
        layer = model.get_layer(name)
        # Float32 has few numbers so near to 0: two or three of them may meet.
        assert np.isin(layer.bias, layer.kernel).mean() < 0.1, name


def test_two_networks_of_a_process_do_not_begin_alike():
    first, second = seeded(0), build()
    for name in fan_ins(first):
        for weight in ("kernel", "bias"):
            ours, others = (getattr(model.get_layer(name), weight).numpy() for model in (first, second))
            assert (ours == others).mean() < 0.1, name


def test_a_seed_gives_the_same_network_again():
    for ours, others in zip(seeded(3).weights, seeded(3).weights):
        np.testing.assert_array_equal(ours, others)


def seeded(seed: int, **options) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return build(**options)


# What is done with a network


def test_weights_of_another_width_are_refused(tmp_path):
    build(k=2).save(tmp_path / "narrow.keras")
    with pytest.raises(ValueError, match=r"narrow\.keras: wrong shape of block1_conv/kernel .* and \d+ more"):
        tf_models.load_weights(build(k=4), tmp_path / "narrow.keras")


# Mistakes


@pytest.mark.parametrize("shape", [(30, 32, 3), (32, 34, 3), (27, 27, 1), (2, 4, 3), (None, 32, 3), (32, None, 3)])
def test_sides_that_the_pools_do_not_halve_twice_are_refused_in_one_line(shape):
    with pytest.raises(ValueError, match=r"input_shape=\(.*\): must be of .* multiples of 4") as info:
        tf_models.build_model("cnn5", input_shape=shape)
    assert "\n" not in str(info.value)

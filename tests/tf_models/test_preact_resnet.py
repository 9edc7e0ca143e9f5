"""The ResNet-18 of Deep Double Descent: counts, layers, initial weights; and that it is saved and trained."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_models
from tf_models import inspection

TEN_CLASSES = {  # k: trainable parameters, three channels
    1: 2_947,
    2: 11_332,
    4: 44_446,
    8: 176_050,
    10: 274_540,
    12: 394_822,
    16: 700_762,
    20: 1_093_870,
    32: 2_796_202,
    64: 11_171_146,
    128: 44_657_290,
}
GROWING = ("conv3_block1", "conv4_block1", "conv5_block1")


def build(k: int = 4, side: int | None = 32, channels: int = 3, num_classes: int = 10) -> keras.Model:
    options = {"k": k, "input_shape": (side, side, channels), "num_classes": num_classes}
    return tf_models.build_model("preact_resnet18", **options)


shared = functools.cache(build)  # for tests that only look


def images(side: int = 32, channels: int = 3, batch: int = 2) -> tf.Tensor:
    return tf.random.stateless_normal((batch, side, side, channels), seed=[1, 2])


def norms(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def named(model: keras.Model, ending: str) -> list[str]:
    return [layer.name for layer in model.layers if layer.name.endswith(ending)]


def source(layer: keras.Layer, position: int = 0) -> str:
    """The name of the layer that makes a layer's input."""
    tensors = layer.input if isinstance(layer.input, list) else [layer.input]
    return tensors[position]._keras_history.operation.name


# Counts


def closed_form(k: int, num_classes: int) -> int:
    return 2724 * k**2 + 133 * k + 8 * num_classes * k + num_classes


def test_parameters_count_to_the_unit():
    assert {k: closed_form(k, 10) for k in TEN_CLASSES} == TEN_CLASSES


@pytest.mark.parametrize(("k", "num_classes"), [(1, 10), (3, 2), (8, 100)])  # 64: below
def test_parameters_follow_the_closed_form(k, num_classes):
    assert inspection.parameters(build(k, num_classes=num_classes)).trainable == closed_form(k, num_classes)


@pytest.mark.parametrize("k", [1, 8])
def test_gray_images_take_18_k_parameters_fewer(k):
    gray, colour = (inspection.parameters(shared(k, channels=channels)).trainable for channels in (1, 3))
    assert colour - gray == 18 * k


def test_moving_statistics_are_those_of_what_each_convolution_reads_but_the_stem():
    """Blocks read k, k, 2k, 4k, 8k channels first ... and their second convolutions 2 (k + 2k + 4k + 8k)."""
    first = (1 + 1) + (1 + 2) + (2 + 4) + (4 + 8)
    second = 2 * (1 + 2 + 4 + 8)
    assert inspection.parameters(shared(4)).non_trainable == 2 * 4 * (first + second)


@pytest.mark.parametrize(("side", "sides", "channels"), [(32, (32, 16, 8, 4), 3), (28, (28, 14, 7, 4), 1)])
def test_multiply_adds_are_those_of_maps_that_are_halved_and_rounded_up(side, sides, channels):
    k = 4
    expected = side**2 * 9 * channels * k + 8 * k * 10  # the stem and the head
    for before, width, pixels in zip((k, k, 2 * k, 4 * k), (k, 2 * k, 4 * k, 8 * k), (s**2 for s in sides)):
        expected += pixels * (9 * before * width + 3 * 9 * width**2)
        expected += pixels * before * width if before != width else 0  # the shortcut
    assert inspection.multiply_adds(shared(k, side, channels)) == expected


# Layers


def test_the_paper_s_network_is_what_is_built_when_nothing_is_said():
    model = tf_models.build_model("preact_resnet18")
    assert model.input_shape == (None, 32, 32, 3)
    assert inspection.parameters(model).trainable == TEN_CLASSES[64]


def test_no_convolution_has_a_bias_and_batch_norm_has_pytorch_s_settings():
    model = shared()
    assert not any(model.get_layer(name).use_bias for name in named(model, "_conv"))
    assert {(norm.epsilon, norm.momentum) for norm in norms(model)} == {(1e-5, 0.9)}


def test_batch_norm_and_relu_come_before_each_convolution_but_stem_and_shortcuts():
    model = shared()
    convs = {*named(model, "_conv")} - {"conv1_conv"} - {f"{block}_0_conv" for block in GROWING}
    assert len(convs) == len(norms(model)) == 16
    for conv in convs:
        unit = conv.removesuffix("_conv")
        read = source(model.get_layer(conv))
        assert (source(model.get_layer(read)) if read == f"{unit}_pad" else read) == f"{unit}_relu"
        assert source(model.get_layer(f"{unit}_relu")) == f"{unit}_bn"


def test_the_stem_and_the_last_block_are_left_as_they_are():
    """No 7x7, pool, batch norm or ReLU after the stem; no batch norm or ReLU before the average."""
    model = shared()
    stem = model.get_layer("conv1_conv")
    assert (stem.kernel_size, stem.strides, source(stem)) == ((3, 3), (1, 1), "images")
    assert source(model.get_layer("conv2_block1_1_bn")) == "conv1_conv"
    assert source(model.get_layer("avg_pool")) == "conv5_block2_add"
    assert source(model.get_layer("predictions")) == "avg_pool"


def test_the_shortcut_is_a_projection_of_the_activated_input_where_dimensions_change_and_the_raw_input_elsewhere():
    model = shared()
    assert named(model, "_0_conv") == [f"{block}_0_conv" for block in GROWING]
    before = "conv1_conv"
    for name in named(model, "_add"):
        block = name.removesuffix("_add")
        if block in GROWING:
            assert source(model.get_layer(f"{block}_0_conv")) == f"{block}_1_relu"
            before = f"{block}_0_conv"
        assert source(model.get_layer(name)) == before
        before = name


def test_strides_are_in_the_first_convolution_of_stages_2_to_4_and_in_their_shortcuts():
    model = shared()
    strided = {name for name in named(model, "_conv") if model.get_layer(name).strides == (2, 2)}
    assert strided == {f"{block}_{number}_conv" for block in GROWING for number in (0, 1)}


@pytest.mark.parametrize("side", [32, 31])
def test_a_convolution_of_stride_2_sits_on_the_pixels_that_the_shortcut_takes(side):
    model = build(side=side)
    conv, shortcut = (model.get_layer(f"conv3_block1_{number}_conv") for number in (1, 0))
    centre = np.zeros(conv.kernel.shape, "float32")
    centre[1, 1] = shortcut.kernel.numpy()[0, 0]
    conv.kernel.assign(centre)
    convolved, projected = keras.Model(model.inputs, [conv.output, shortcut.output])(images(side))
    np.testing.assert_allclose(convolved, projected, rtol=1e-5, atol=1e-6)


# Initial weights


def test_weights_begin_uniform_within_one_over_the_root_of_fan_in():
    keras.utils.set_random_seed(0)
    model = build(16)
    fan_ins = set()
    for name in [*named(model, "_conv"), "predictions"]:
        kernel = model.get_layer(name).kernel.numpy()
        fan_in = int(np.prod(kernel.shape[:-1]))
        fan_ins.add(fan_in)
        values = np.sort(kernel.ravel()) * np.sqrt(fan_in)
        assert np.abs(values).max() <= 1, name
        # Kolmogorov's distance to the uniform distribution; a true sample passes 1.95 / sqrt(n) once in a thousand.
        ranks = (np.arange(values.size) + 0.5) / values.size
        assert np.abs((values + 1) / 2 - ranks).max() < 1.95 / np.sqrt(values.size), name
    assert fan_ins == {9 * 3, 9 * 16, 9 * 32, 9 * 64, 9 * 128, 16, 32, 64, 128}


def test_the_head_s_biases_begin_within_the_bound_of_its_weights():
    keras.utils.set_random_seed(0)
    biases = build(16, num_classes=1000).get_layer("predictions").bias.numpy() * np.sqrt(8 * 16)
    assert 0.99 < np.abs(biases).max() <= 1
    assert biases.std() == pytest.approx(1 / np.sqrt(3), rel=0.05)


def test_no_two_convolutions_begin_alike():
    model = shared()
    assert len({model.get_layer(name).kernel.numpy()[0, 0, 0, 0] for name in named(model, "_conv")}) == 20


# What is done with a network


def test_weights_of_the_resnet_with_its_activations_last_are_refused(tmp_path):
    model = tf_models.build_model("resnet18", num_classes=10, input_shape=(32, 32, 3))
    model.save(tmp_path / "resnet18.keras")
    with pytest.raises(ValueError, match=r"resnet18\.keras: (wrong shape of|lacks weights|has weights)"):
        tf_models.load_weights(build(64), tmp_path / "resnet18.keras")


# Mistakes

"""ResNet and its plain twins: structure, options, initial weights; and that they can be saved, loaded and trained."""

import functools
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_models
from tests.tf_models.steps import training_step
from tf_models import resnet
from tf_models.deep_graphs import deep_graphs
from tf_models.layers.shortcut import ZeroPaddedIdentity

PLAIN = ["plain18", "plain34", *(f"plain{depth}_cifar" for depth in (20, 32, 44, 56, 110))]
BASIC, BOTTLENECK = ["resnet18", "resnet34"], ["resnet50", "resnet101", "resnet152"]
CIFAR = [f"resnet{depth}_cifar" for depth in (20, 32, 44, 56, 110, 1202)]
SMALL = ["resnet18", "plain18", "resnet50", "resnet20_cifar", "plain20_cifar"]  # one of each kind


def build(name: str, size: int | None = 32, **options) -> keras.Model:
    return tf_models.build_model(name, **{"num_classes": 5, "input_shape": (size, size, 3), **options})


shared = functools.cache(build)  # for tests that only look


def images(batch: int = 2, size: int = 32) -> tf.Tensor:
    return tf.random.stateless_normal((batch, size, size, 3), seed=[1, 2])


def named(model: keras.Model, ending: str) -> list[str]:
    return [layer.name for layer in model.layers if layer.name.endswith(ending)]


# Structure


def test_the_layers_of_50_are_those_of_keras_applications():
    """But for `conv1_conv` and the like having no bias, and for stages that keep their names."""
    ours, theirs = shared("resnet50"), keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=5)
    assert {layer.name for layer in ours.layers[1:]} == {layer.name for layer in theirs.layers[1:]}
    shapes = [{w.path: tuple(w.shape) for w in model.weights} for model in (ours, theirs)]
    biases = {path for path in shapes[1] if path.endswith("_conv/bias")}
    assert len(biases) == 53
    assert shapes[0] == {path: shape for path, shape in shapes[1].items() if path not in biases}


def test_no_convolution_has_a_bias_and_each_is_followed_by_batch_norm():
    for name in SMALL:
        model = shared(name)
        assert named(model, "_bn") == [conv.replace("_conv", "_bn") for conv in named(model, "_conv")]
        assert not any(layer.use_bias for layer in model.layers if layer.name.endswith("_conv"))
        norms = [model.get_layer(norm) for norm in named(model, "_bn")]
        assert {(norm.epsilon, norm.momentum) for norm in norms} == {(1e-5, 0.9)}


@pytest.mark.parametrize(
    ("name", "options", "projections", "zeros"),
    [
        (
            "resnet34",
            {"shortcut": "A"},
            [],
            ["conv3_block1_0_identity", "conv4_block1_0_identity", "conv5_block1_0_identity"],
        ),
        ("resnet34", {}, ["conv3_block1_0_conv", "conv4_block1_0_conv", "conv5_block1_0_conv"], []),
        ("resnet50", {"shortcut": "A"}, [], [f"conv{stage}_block1_0_identity" for stage in (2, 3, 4, 5)]),
        ("resnet50", {}, [f"conv{stage}_block1_0_conv" for stage in (2, 3, 4, 5)], []),
        ("resnet20_cifar", {}, [], ["conv3_block1_0_identity", "conv4_block1_0_identity"]),
        ("plain20_cifar", {}, [], []),
    ],
)
def test_shortcuts_are_projections_or_zeros_where_dimensions_grow(name, options, projections, zeros):
    model = shared(name, **options)
    assert named(model, "_0_conv") == projections
    assert [layer.name for layer in model.layers if isinstance(layer, ZeroPaddedIdentity)] == zeros


def test_option_c_projects_in_every_block():
    model = build("resnet34", shortcut="C")
    assert len(named(model, "_0_conv")) == len(named(model, "_add")) == 16


@pytest.mark.parametrize("name", ["plain18", "plain20_cifar"])
def test_a_plain_network_is_its_residual_twin_without_additions(name):
    twin = shared(name.replace("plain", "resnet"), **({"shortcut": "A"} if name == "plain18" else {}))
    left_out = {*named(twin, "_add"), *named(twin, "_0_identity")}
    assert {layer.name for layer in twin.layers} - left_out == {layer.name for layer in shared(name).layers}


@pytest.mark.parametrize(("options", "strides"), [({}, (2, 1, 1)), ({"bottleneck_stride": "3x3"}, (1, 2, 1))])
def test_a_bottleneck_has_its_stride_where_it_is_asked_for(options, strides):
    model = shared("resnet50", **options)
    for stage in (3, 4, 5):
        convs = [model.get_layer(f"conv{stage}_block1_{number}_conv") for number in (1, 2, 3)]
        assert tuple(conv.strides[0] for conv in convs) == strides
        assert model.get_layer(f"conv{stage}_block1_0_conv").strides == (2, 2)


@pytest.mark.parametrize("size", [32, 31])
def test_a_convolution_of_stride_2_sits_on_the_pixels_that_the_shortcut_takes(size):
    model = build("resnet20_cifar", size)
    conv = model.get_layer("conv3_block1_1_conv")
    centre = np.zeros(conv.kernel.shape, "float32")
    centre[1, 1] = np.eye(16, 32)
    conv.kernel.assign(centre)
    both = keras.Model(model.inputs, [conv.output, model.get_layer("conv3_block1_0_identity").output])
    convolved, sampled = both(images(size=size))
    np.testing.assert_allclose(convolved, sampled, rtol=1e-6)


@pytest.mark.parametrize(("size", "pooled"), [(224, 56), (112, 28), (225, 56), (230, 57)])
def test_the_pool_rounds_like_caffe_up_from_no_padding(size, pooled):
    """Caffe: ceil((conv1 - 3) / 2) + 1, where conv1 is half the image, rounded up."""
    conv1 = -(-size // 2)
    assert pooled == -(-(conv1 - 3) // 2) + 1
    assert build("resnet18", size).get_layer("pool1_pool").output.shape[1:3] == (pooled, pooled)


@pytest.mark.parametrize(("size", "pooled"), [(224, 56), (225, 57), (230, 58)])
def test_symmetric_padding_of_the_pool_rounds_like_torch(size, pooled):
    model = build("resnet18", size, pool_padding="symmetric")
    assert model.get_layer("pool1_pool").output.shape[1:3] == (pooled, pooled)


# Initial weights


def test_kernels_begin_as_he_et_al_2015_have_it_not_truncated():
    kernel = shared("resnet18").get_layer("conv5_block1_2_conv").kernel.numpy()  # 2.4 million numbers
    standardised = kernel / np.sqrt(2 / (3 * 3 * 512))
    assert abs(standardised.mean()) < 0.005
    assert abs(standardised.std() - 1) < 0.005
    assert abs((np.abs(standardised) > 2).mean() - 0.0455) < 0.001  # of a normal; 0 of a truncated one


@pytest.mark.parametrize("name", ["resnet18", "resnet20_cifar"])
def test_the_classifier_begins_small(name):
    keras.utils.set_random_seed(0)
    head = build(name, num_classes=1000).get_layer("predictions")
    assert head.kernel.numpy().std() == pytest.approx(0.01, rel=0.02)
    assert not head.bias.numpy().any()


def test_no_two_layers_begin_alike():
    model = shared("resnet20_cifar")
    kernels = {model.get_layer(name).kernel.numpy()[0, 0, 0, 0] for name in named(model, "_conv")}
    assert len(kernels) == 19


def test_last_gamma_is_the_scale_of_the_last_batch_norm_of_each_block_alone():
    model = build("resnet50", last_gamma=0.25)
    gammas = {norm: model.get_layer(norm).gamma.numpy() for norm in named(model, "_bn")}
    assert len([norm for norm in gammas if norm.endswith("_3_bn")]) == 16
    for norm, gamma in gammas.items():
        assert (gamma == (0.25 if norm.endswith("_3_bn") else 1)).all(), norm


def test_with_last_gamma_0_a_block_begins_as_the_identity():
    model = build("resnet20_cifar", last_gamma=0.0)
    stage = keras.Model(model.inputs, [model.get_layer(n).output for n in ("conv1_relu", "conv2_block3_out")])
    before, after = stage(images(), training=True)
    np.testing.assert_array_equal(before, after)


# What is done with a network


@pytest.mark.parametrize("name", [pytest.param("resnet18", marks=pytest.mark.slow), "resnet20_cifar", "plain20_cifar"])
def test_the_loss_falls_on_one_batch(name):
    keras.utils.set_random_seed(0)
    step = training_step(build(name), images(batch=8), keras.optimizers.SGD(0.02, momentum=0.9))
    losses = [float(step()) for _ in range(20)]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.slow
def test_1202_layers_are_trained_saved_and_loaded(tmp_path):
    limit = sys.getrecursionlimit()
    model = build("resnet1202_cifar", size=8)
    step = training_step(model, images(size=8), keras.optimizers.SGD(0.02, momentum=0.9))
    assert np.isfinite([float(step()), float(step())]).all()
    model.save(tmp_path / "model.keras")
    assert sys.getrecursionlimit() == limit
    with deep_graphs():
        again = keras.saving.load_model(tmp_path / "model.keras")
    for ours, loaded in zip(model.weights, again.weights, strict=True):
        assert ours.path == loaded.path
        np.testing.assert_array_equal(ours, loaded)


# Mistakes


@pytest.mark.parametrize(
    ("name", "option", "value", "message"),
    [
        ("resnet18", "shortcut", "D", "shortcut='D': must be one of 'A', 'B', 'C'"),
        ("resnet50", "bottleneck_stride", 3, "bottleneck_stride=3: must be one of '1x1', '3x3'"),
        ("plain18", "pool_padding", "valid", "pool_padding='valid': must be one of 'same', 'symmetric'"),
        ("resnet20_cifar", "last_gamma", "0", "last_gamma='0': must be a number"),
        ("plain20_cifar", "last_gamma", 0.0, "last_gamma=0.0: must be other than 0 in a plain network"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(name, option, value, message):
    with pytest.raises(ValueError, match=message):
        build(name, **{option: value})


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("plain18", "shortcut"),
        ("resnet20_cifar", "shortcut"),
        ("plain20_cifar", "shortcut"),
        ("resnet34", "bottleneck_stride"),
        ("resnet20_cifar", "bottleneck_stride"),
        ("resnet20_cifar", "pool_padding"),
        ("resnet50", "blocks"),
        ("resnet20_cifar", "depth"),
    ],
)
def test_a_network_has_no_option_that_makes_no_sense_for_it(name, option):
    with pytest.raises(ValueError, match=f"{name} has no such option"):
        build(name, **{option: "A"})


@pytest.mark.parametrize("depth", [21, 2, 20.0])
def test_a_cifar_network_has_6n_plus_2_layers(depth):
    with pytest.raises(ValueError, match=rf"depth={depth}: must be 6n \+ 2"):
        resnet.cifar_resnet(depth)

"""What is said of published ResNets' files: what they expect, what was left out, and why one is refused."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is loaded

import functools
import re

import keras
import numpy as np
import pytest

from flags import catalog, overrides
from tests.parity.published_resnets import (
    CLASSES,
    KERAS_OPTIONS,
    SIDE,
    by_layer,
    ours_of,
    torchvision_options,
    write_keras2,
    write_torchvision,
)
from tf_models.weights import load_weights

pytestmark = pytest.mark.usefixtures("files_removed")


@pytest.fixture(scope="module")
def keras_shapes(keras_reference):
    """Zeros in the shapes of keras.applications' ResNet50."""
    return {name: np.zeros_like(array) for name, array in by_layer(keras_reference).items()}


@pytest.fixture(scope="module")
def resnet18():
    return ours_of(18, **torchvision_options(18))


@pytest.fixture(scope="module")
def resnet50_keras():
    return ours_of(50, **KERAS_OPTIONS)


@pytest.fixture(scope="module", autouse=True)
def shared_models_removed():
    """They weigh 200 MB each."""
    yield
    shared.cache_clear()


def test_a_head_under_its_older_name_is_found(tmp_path, keras_shapes, resnet50_keras):
    arrays = {("probs" if layer == "predictions" else layer, weight): a for (layer, weight), a in keras_shapes.items()}
    write_keras2(tmp_path / "old.h5", arrays)
    loaded = load_weights(resnet50_keras, tmp_path / "old.h5")
    assert (loaded.file_classes, loaded.initial, loaded.unused) == (CLASSES, (), {})


def test_a_file_of_keras_applications_without_top_leaves_the_models_head(tmp_path, keras_shapes, resnet50_keras):
    arrays = {name: array for name, array in keras_shapes.items() if name[0] != "predictions"}
    write_keras2(tmp_path / "notop.h5", arrays)
    loaded = load_weights(resnet50_keras, tmp_path / "notop.h5")
    assert loaded.initial == ("predictions",)
    assert "head with 7 classes left as initialised, the file has none" in str(loaded)


shared = functools.cache(ours_of)  # for files that are refused, which leaves a model as it is


def _refusal(model, path):
    """The message with which `load_weights` refuses the file, the model untouched."""
    before = model.get_weights()
    with pytest.raises(ValueError) as info:
        load_weights(model, path)
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))
    message = str(info.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    "options",
    [
        {"bottleneck_stride": "3x3"},
        {"pool_padding": "symmetric"},
        {"pool_padding": "symmetric", "bottleneck_stride": "1x1"},
    ],
)
def test_a_torchvision_file_is_refused_by_a_bottleneck_model_built_otherwise(options, tmp_path):
    path = write_torchvision(tmp_path / "r.safetensors", 50)
    assert _refusal(shared(50, **options), path) == (
        "torchvision's networks have the stride in the 3x3 and pad the pool on both sides; build the model with "
        "shortcut='B', bottleneck_stride='3x3', pool_padding='symmetric' (--set=model.shortcut=B "
        "--set=model.bottleneck_stride=3x3 --set=model.pool_padding=symmetric)"
    )


def test_a_torchvision_file_is_refused_by_a_basic_model_that_pads_otherwise(tmp_path):
    path = write_torchvision(tmp_path / "r.safetensors", 18)
    assert _refusal(shared(18), path) == (
        "torchvision's networks pad the pool on both sides; build the model with shortcut='B', "
        "pool_padding='symmetric' (--set=model.shortcut=B --set=model.pool_padding=symmetric)"
    )


@pytest.mark.parametrize(
    "options", [{}, {"pool_padding": "symmetric", "bottleneck_stride": "3x3"}, {"bottleneck_stride": "3x3"}]
)
def test_a_keras_applications_file_is_refused_by_a_model_built_otherwise(options, keras_folder):
    assert _refusal(shared(50, **options), keras_folder / "model.keras") == (
        "keras.applications' networks have the stride in the first 1x1 and pad the pool on both sides; build the model "
        "with shortcut='B', bottleneck_stride='1x1', pool_padding='symmetric' (--set=model.shortcut=B "
        "--set=model.bottleneck_stride=1x1 --set=model.pool_padding=symmetric)"
    )


@pytest.mark.parametrize("shortcut", ["A", "C"])
def test_a_torchvision_file_names_the_shortcut_to_a_model_with_another(shortcut, tmp_path):
    path = write_torchvision(tmp_path / "r.safetensors", 18)
    message = _refusal(shared(18, shortcut=shortcut), path)
    assert re.search(r"(lacks weights of resnet18: conv\d_block\d_0|resnet18 lacks: layer2\.0\.downsample\.0)", message)
    assert "or build the model that the file is of, with shortcut='B', pool_padding='symmetric'" in message


@pytest.mark.parametrize(
    ("depth", "of", "words"),
    [
        (18, 34, "has weights that resnet18 lacks: layer1.2."),
        (18, 50, "has weights that resnet18 lacks: layer1.0."),
        (34, 18, "lacks weights of resnet34: conv2_block3_1_conv/kernel and "),
        (34, 50, "has weights that resnet34 lacks: layer1.0."),
        (50, 34, "lacks weights of resnet50: conv2_block1_0_conv/kernel and "),
        (50, 101, "has weights that resnet50 lacks: layer3."),
        pytest.param(101, 50, "lacks weights of resnet101: conv4_block7_1_conv/kernel and ", marks=pytest.mark.slow),
        pytest.param(101, 152, "has weights that resnet101 lacks: layer2.", marks=pytest.mark.slow),
    ],
)
def test_a_torchvision_file_of_another_depth_is_refused(depth, of, words, tmp_path):
    path = write_torchvision(tmp_path / "r.safetensors", of)
    message = _refusal(shared(depth, **torchvision_options(depth)), path)
    assert words in message and f"use a file of resnet{depth}, or build the model that the file is of" in message


def test_a_keras_applications_file_of_a_deeper_network_is_refused(tmp_path, keras_shapes, resnet50_keras):
    deeper = {(layer.replace("block6", "block7"), w): a for (layer, w), a in keras_shapes.items() if "block6" in layer}
    write_keras2(tmp_path / "r101.h5", keras_shapes | deeper)
    message = _refusal(resnet50_keras, tmp_path / "r101.h5")
    assert message.startswith("has weights that resnet50 lacks: conv4_block7_")


def test_a_keras_applications_file_of_a_shallower_network_is_refused(tmp_path, keras_shapes, resnet50_keras):
    write_keras2(tmp_path / "r41.h5", {name: a for name, a in keras_shapes.items() if "conv4_block6" not in name[0]})
    message = _refusal(resnet50_keras, tmp_path / "r41.h5")
    assert message.startswith("lacks weights of resnet50: conv4_block6_1_conv/kernel and 14 more")


def test_a_resnet_v2_of_keras_applications_is_refused(tmp_path, resnet50_keras):
    v2 = keras.applications.ResNet50V2(weights=None, input_shape=(SIDE, SIDE, 3), classes=CLASSES)
    v2.save_weights(tmp_path / "v2.weights.h5")
    message = _refusal(resnet50_keras, tmp_path / "v2.weights.h5")
    assert message.startswith("lacks weights of resnet50: conv1_bn/gamma and ")
    assert message.endswith("use a file of resnet50, or build the model that the file is of")


def test_a_torchvision_file_that_lacks_a_tensor_is_refused(tmp_path, resnet18):
    path = write_torchvision(tmp_path / "r.safetensors", 18, **{"layer3.1.bn2.running_var": None})
    assert _refusal(resnet18, path).startswith("lacks weights of resnet18: conv4_block2_2_bn/moving_variance; use ")


def test_a_torchvision_file_with_a_tensor_of_another_shape_is_refused(tmp_path, resnet18):
    path = write_torchvision(tmp_path / "r.safetensors", 18, **{"conv1.weight": np.zeros((64, 1, 7, 7), "float16")})
    assert _refusal(resnet18, path).startswith(
        "wrong shape of conv1_conv/kernel (the file has (7, 7, 1, 64), resnet18 expects (7, 7, 3, 64)); use "
    )


def test_a_truncated_torchvision_file_is_called_damaged(tmp_path, resnet18):
    path = write_torchvision(tmp_path / "r.safetensors", 18)
    path.write_bytes(path.read_bytes()[:-1000])
    assert _refusal(resnet18, path).startswith("damaged, or not a safetensors file (")


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        (("conv3_block2_1_conv", "bias"), None, "damaged (lacks the bias of conv3_block2_1_conv); fetch or write"),
        (("conv3_block2_1_bn", "moving_mean"), None, "lacks weights of resnet50: conv3_block2_1_bn/moving_mean; use"),
        (
            ("conv3_block2_1_bn", "moving_variance"),
            None,
            "lacks weights of resnet50: conv3_block2_1_bn/moving_variance",
        ),
        (("conv1_conv", "kernel"), None, "lacks weights of resnet50: conv1_conv/kernel; use"),
        (("conv1_conv", "kernel"), np.zeros(64), "wrong shape of conv1_conv/kernel (the file has (64,), resnet50"),
        (("conv1_bn", "moving_mean"), np.zeros(32), "has weights that resnet50 lacks: conv1_conv/bias; use"),
        (("conv1_conv", "bias"), np.zeros(1), "has weights that resnet50 lacks: conv1_conv/bias; use"),
        (
            ("conv1_bn", "beta"),
            np.zeros(32),
            "wrong shape of conv1_bn/beta (the file has (32,), resnet50 expects (64,)",
        ),
    ],
)
def test_a_damaged_keras_applications_file_is_refused(name, array, words, tmp_path, keras_shapes, resnet50_keras):
    arrays = keras_shapes | {name: array}
    write_keras2(tmp_path / "r.h5", {name: array for name, array in arrays.items() if array is not None})
    message = _refusal(resnet50_keras, tmp_path / "r.h5")
    assert message.startswith(words)


def test_another_number_of_classes_keeps_the_models_head(tmp_path):
    ours = ours_of(18, num_classes=3, **torchvision_options(18))
    head = ours.get_layer("predictions").kernel.numpy()
    loaded = load_weights(ours, write_torchvision(tmp_path / "r.safetensors", 18))
    assert np.array_equal(ours.get_layer("predictions").kernel, head)
    assert not np.any(ours.get_layer("conv1_conv").kernel)
    assert loaded.initial == ("predictions",) and "head replaced: 7 -> 3 classes" in str(loaded)


def test_what_keras_applications_expects_of_images_is_said_as_the_command_line_takes_it(keras_folder, resnet50_keras):
    loaded = load_weights(resnet50_keras, keras_folder / "published.h5")
    assert str(loaded).endswith(
        "; expects images as RGB in 0..255 less (123.68,116.779,103.939), divided by (1,1,1): "
        "--set=data.mean_image=false --set=data.mean=123.68,116.779,103.939 --set=data.stddev=1,1,1"
    )
    data = _recipe("resnet50", loaded.inputs).data
    assert (data.mean_image, data.mean, data.stddev) == (False, (123.68, 116.779, 103.939), (1, 1, 1))


def test_what_torchvision_expects_of_images_is_said_as_the_command_line_takes_it(tmp_path, resnet18):
    loaded = load_weights(resnet18, write_torchvision(tmp_path / "r.safetensors", 18))
    assert str(loaded).endswith(
        "; expects images as RGB in 0..255 less (123.675,116.28,103.53), divided by (58.395,57.12,57.375): "
        "--set=data.mean_image=false --set=data.mean=123.675,116.28,103.53 --set=data.stddev=58.395,57.12,57.375"
    )
    data = _recipe("resnet18", loaded.inputs).data
    assert (data.mean_image, data.mean, data.stddev) == (False, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


@pytest.mark.parametrize("depth", [18, 50])
def test_the_flags_of_a_refusal_build_a_model_that_takes_the_file(depth, tmp_path):
    path = write_torchvision(tmp_path / "r.safetensors", depth)
    refused = shared(depth, **catalog.get(f"resnet{depth}").model.options())
    options = _recipe(f"resnet{depth}", _refusal(refused, path)).model.options()
    assert load_weights(ours_of(depth, **options), path).initial == ()


def _recipe(name, text):
    """The recipe with the --set flags in `text`."""
    experiment = catalog.get(name)
    return overrides.apply(experiment, overrides.parse(re.findall(r"--set=([^\s)]+)", text), experiment).items())

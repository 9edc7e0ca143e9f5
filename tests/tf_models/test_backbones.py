"""Backbones: named feature maps at their strides, the layers of the classifier, and its weight files."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

import tf_models
from tests.parity.published_resnets import write_torchvision
from tf_models.weights.efficientnet import _modules


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("resnet18", {"C1": "conv1_relu", **{f"C{i}": f"conv{i}_block2_out" for i in (2, 3, 4, 5)}}),
        ("preact_resnet18", {f"C{i}": f"conv{i + 2}_block2_add" for i in range(4)}),
        ("resnet20_cifar", {f"C{i}": f"conv{i + 2}_block3_out" for i in range(3)}),
        (
            "efficientnet_b0",  # the last block before each stride, of Table 1's stages 2, 3, 4, 6 and 8
            {
                "C1": "block1a_project_bn",
                "C2": "block2b_add",
                "C3": "block3b_add",
                "C4": "block5c_add",
                "C5": "block7a_project_bn",
            },
        ),
    ],
)
def test_feature_maps_are_the_ends_of_stages(name, ends):
    options = {"width": 0.5} if name == "efficientnet_b0" else {}
    backbone = tf_models.build_backbone(name, input_shape=(32, 32, 3), **options)
    assert {level: id(features) for level, features in backbone.output.items()} == {
        level: id(backbone.get_layer(layer).output) for level, layer in ends.items()
    }


def test_layers_after_the_last_level_are_left_out():
    backbone = tf_models.build_backbone("resnet20_cifar", input_shape=(None, None, 3), features=("C1", "C0"))
    assert list(backbone.output) == ["C0", "C1"]
    assert backbone.layers[-1].name == "conv3_block3_out"


def test_a_backbone_is_saved_and_loaded(tmp_path):
    backbone = tf_models.build_backbone("resnet20_cifar", input_shape=(None, None, 3))
    backbone.save(tmp_path / "backbone.keras")
    loaded = keras.saving.load_model(tmp_path / "backbone.keras")
    images = np.random.default_rng(0).normal(size=(2, 12, 20, 3)).astype("float32")
    expected = backbone(images)
    for level, features in loaded(images).items():
        np.testing.assert_array_equal(features, expected[level])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cnn5", {}, r"name='cnn5': no such backbone\. Known: efficientnet, "),
        ("resnet19", {}, r"name='resnet19': no such backbone\. Near: resnet18"),
        (
            "resnet20_cifar",
            {"features": ("C2", "C5")},
            r"features=\('C2', 'C5'\): must be .* C0, C1, C2",
        ),
        ("resnet20_cifar", {"features": ()}, r"features=\(\): must be a sequence of levels"),
        ("resnet20_cifar", {"features": "C2"}, "features='C2': must be a sequence of levels"),
        ("resnet20_cifar", {"num_classes": 3}, "num_classes=3: resnet20_cifar has no such option"),
        ("efficientnet", {"dropout": 0.1}, "dropout=0.1: efficientnet has no such option"),
        ("efficientnet", {"width": 0}, "width=0: must be a positive number"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(name, options, message):
    with pytest.raises(ValueError, match=message):
        tf_models.build_backbone(name, input_shape=(32, 32, 3), **options)


# Weight files: those of the whole network load, and what the backbone does not have is reported.

NARROW = {"input_shape": (32, 32, 3), "width": 0.25, "depth": 0.3}


@pytest.fixture(scope="module")
def classifier():
    """A narrow EfficientNet of one block per stage; every weight has a value of its own."""
    model = tf_models.build_model("efficientnet", num_classes=5, **NARROW)
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.uniform(0.5, 1.5, weight.shape))
    return model


@pytest.fixture(scope="module")
def folder(classifier, tmp_path_factory):
    """The classifier's weights in every kind of file."""
    folder = tmp_path_factory.mktemp("files")
    classifier.save(folder / "model.keras")
    classifier.save_weights(folder / "model.weights.h5")
    classifier.save(folder / "model.h5")
    modules = list(_modules([layer.name for layer in classifier.layers]))
    tf1 = {
        f"efficientnet-b0/{module}/{'depthwise_kernel' if layer.endswith('dwconv') else weight.name}": weight.value
        for module, _, layer in modules
        for weight in classifier.get_layer(layer).weights
    }
    tf.raw_ops.SaveV2(
        prefix=str(folder / "model.ckpt"),
        tensor_names=list(tf1),
        shape_and_slices=[""] * len(tf1),
        tensors=[*tf1.values()],
    )
    names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    torch = {
        f"{module}.{names.get(weight.name, weight.name).replace('kernel', 'weight')}": pytorch_layout(weight)
        for _, module, layer in modules
        for weight in classifier.get_layer(layer).weights
    }
    save_file(torch, folder / "model.safetensors")
    return folder


def pytorch_layout(weight) -> np.ndarray:
    array = weight.numpy()
    if array.ndim == 4:
        array = array.transpose((2, 3, 0, 1) if "dwconv" in weight.path else (3, 2, 0, 1))
    return np.ascontiguousarray(array.T if array.ndim == 2 else array)


KINDS = ["model.keras", "model.weights.h5", "model.h5", "model.ckpt", "model.safetensors"]


def assert_has_weights_of(backbone, classifier):
    theirs = {weight.path: weight.numpy() for weight in classifier.weights}
    for weight in backbone.weights:
        np.testing.assert_array_equal(weight, theirs[weight.path], err_msg=weight.path)


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_a_classifier_load_and_its_head_is_reported_as_not_used(kind, folder, classifier):
    backbone = tf_models.build_backbone("efficientnet", **NARROW)
    loaded = tf_models.load_weights(backbone, folder / kind)
    assert (loaded.assigned, loaded.initial) == (len(backbone.weights), ())
    assert loaded.unused == {"top_conv": 1, "top_bn": 4, "predictions": 2}
    assert "not used: " in str(loaded)
    assert_has_weights_of(backbone, classifier)


@pytest.mark.parametrize("kind", KINDS)
def test_a_backbone_that_ends_early_does_not_use_the_later_stages(kind, folder, classifier):
    backbone = tf_models.build_backbone("efficientnet", features=("C2", "C3"), **NARROW)
    loaded = tf_models.load_weights(backbone, folder / kind)
    assert (loaded.assigned, loaded.initial) == (len(backbone.weights), ())
    assert sum(loaded.unused.values()) == len(classifier.weights) - len(backbone.weights)
    assert_has_weights_of(backbone, classifier)


def test_a_deeper_classifier_is_refused_even_by_a_backbone_that_ends_early(folder, tmp_path):
    deeper = tf_models.build_model("efficientnet", num_classes=5, **NARROW | {"depth": 0.6})
    deeper.save(tmp_path / "deeper.keras")
    backbone = tf_models.build_backbone("efficientnet", features=("C2",), **NARROW)
    with pytest.raises(ValueError, match="has weights that efficientnet lacks: block2b_"):
        tf_models.load_weights(backbone, tmp_path / "deeper.keras")


@pytest.mark.parametrize("features", [None, ("C3",)])
def test_a_file_of_torchvision_loads_into_a_backbone(features, tmp_path):
    path = write_torchvision(tmp_path / "resnet18.safetensors", 18)
    options = {"pool_padding": "symmetric", "input_shape": (None, None, 3), "features": features}
    backbone = tf_models.build_backbone("resnet18", **options)
    loaded = tf_models.load_weights(backbone, path)
    assert (loaded.assigned, loaded.initial) == (len(backbone.weights), ())
    assert loaded.unused["predictions"] == 2
    assert not np.any(backbone.get_layer("conv3_block2_2_conv").kernel)  # zeros, as in the file


def test_a_file_of_a_backbone_leaves_the_head_of_a_classifier_as_it_begins(tmp_path):
    options = {"input_shape": (32, 32, 3)}
    tf_models.build_backbone("resnet20_cifar", **options).save(tmp_path / "backbone.keras")
    loaded = tf_models.load_weights(tf_models.build_model("resnet20_cifar", **options), tmp_path / "backbone.keras")
    assert (loaded.initial, loaded.unused) == (("predictions",), {})

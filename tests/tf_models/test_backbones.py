"""Backbones: named feature maps at their strides, the layers of the classifier, and its weight files."""

import keras
import numpy as np
import pytest

import tf_models


def test_a_level_is_the_logarithm_of_its_stride():
    for name, levels in {
        "resnet18": ["C1", "C2", "C3", "C4", "C5"],
        "efficientnet_b0": ["C1", "C2", "C3", "C4", "C5"],
        "preact_resnet18": ["C0", "C1", "C2", "C3"],
        "resnet20_cifar": ["C0", "C1", "C2"],
    }.items():
        backbone = tf_models.build_backbone(name, input_shape=(64, 96, 3))
        assert list(backbone.output) == levels
        for level, features in backbone.output.items():
            stride = 2 ** int(level.removeprefix("C"))
            assert features.shape[1:3] == (64 // stride, 96 // stride), (name, level)


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
    backbone = tf_models.build_backbone(name, input_shape=(32, 32, 3))
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

"""What is asked of every network: its outputs, files, gradients, precision, options and feature maps."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_models
from tests.tf_models import suite
from tests.tf_models.suite import EVERY, NETWORKS

BACKBONES = [name for name in EVERY if name in tf_models.list_backbones()]


ROUNDING = 1e-4  # kernels sum in another order for another batch or size, and a hundred layers amplify it


def distance(found, expected) -> float:
    """Relative difference of two arrays, in the Euclidean norm; 0 if both are zeros."""
    return np.linalg.norm(np.subtract(found, expected)) / max(np.linalg.norm(expected), np.finfo("float32").tiny)


def parameters(names):
    return [pytest.param(name, marks=() if name in NETWORKS else pytest.mark.slow) for name in names]


every_network = pytest.mark.parametrize("name", parameters(EVERY))
every_backbone = pytest.mark.parametrize("name", parameters(BACKBONES))


def test_every_registered_network_is_in_the_suite():
    assert sorted(EVERY) == tf_models.list_models()


@every_network
def test_a_functional_model_of_its_name_gives_logits_for_any_batch(name):
    model, network = suite.shared(name), EVERY[name]
    assert (type(model).__name__, model.name) == ("Functional", name)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    batch = suite.inputs(model, 3)
    outputs = suite.logits(model(batch))
    assert (tuple(outputs.shape), outputs.dtype.name) == ((3, *network.logits), network.dtype)
    first = suite.logits(model(tf.nest.map_structure(lambda part: part[:1], batch)))
    assert distance(first, outputs[:1]) < ROUNDING


@every_network
def test_weights_have_names_of_their_own(name):
    paths = [weight.path for weight in suite.shared(name).weights]
    assert len(set(paths)) == len(paths)


@every_network
def test_inference_is_deterministic_and_changes_no_weight(name):
    model = suite.shared(name)
    batch, before = suite.inputs(model, 2), model.get_weights()
    once, again = (tf.nest.flatten(model(batch, training=False)) for _ in range(2))
    for one, other in zip(once, again, strict=True):
        np.testing.assert_array_equal(one, other)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


@every_network
def test_a_keras_file_gives_back_config_weights_and_outputs(name, tmp_path):
    model = suite.shared(name)
    model.save(tmp_path / "model.keras")
    with tf_models.deep_graphs.deep_graphs():
        again = keras.saving.load_model(tmp_path / "model.keras")
    (tmp_path / "model.keras").unlink()
    assert as_json(again.get_config()) == as_json(model.get_config())
    assert [weight.path for weight in again.weights] == [weight.path for weight in model.weights]
    batch = suite.inputs(model, 2)
    for one, other in zip(tf.nest.flatten(again(batch)), tf.nest.flatten(model(batch)), strict=True):
        np.testing.assert_array_equal(one, other)


@every_network
def test_in_half_precision_weights_and_logits_keep_their_precision(name):
    exact, half = suite.shared(name), suite.shared(name, "mixed_bfloat16")
    assert [weight.dtype for weight in half.weights] == [weight.dtype for weight in exact.weights]
    follows = "bfloat16" in {layer.compute_dtype for layer in half.layers if layer.weights}
    assert follows == (name not in ("random_features", "two_layer"))  # whose recipes need all of their precision
    half.set_weights(exact.get_weights())
    batch = suite.inputs(exact, 2)
    found, expected = suite.logits(half(batch)), suite.logits(exact(batch))
    assert found.dtype.name == EVERY[name].dtype
    # bfloat16 keeps 8 bits: a relative 2^-8 a rounding, over up to fifty layers whose errors add like a random walk.
    assert distance(found, expected) <= 0.1


@every_network
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_every_weight_gets_a_finite_gradient_of_its_own_precision(name, policy):
    model = suite.shared(name, policy)
    batch, before = suite.inputs(model, 2), model.get_weights()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(suite.logits(model(batch, training=True)) ** 2)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    model.set_weights(before)
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert gradient is not None and gradient.dtype == weight.dtype, weight.path
        assert np.isfinite(gradient).all(), weight.path


@every_network
def test_a_bad_option_is_refused_by_name(name):
    options = {**EVERY[name].options, **dict.fromkeys(EVERY[name].takes), "an_option_of_no_network": None}
    for option in options.keys() & suite.REFUSED.keys():
        for value in suite.REFUSED[option]:
            with pytest.raises(ValueError) as raised:
                suite.build(name, **{option: value})
            message = str(raised.value)
            assert message.startswith(f"{option}={value!r}: ") and "\n" not in message


@every_backbone
def test_feature_maps_are_the_classifiers_own_for_images_of_any_size(name):
    classifier = suite.shared(name)
    options = {option: value for option, value in EVERY[name].options.items() if option != "num_classes"}
    backbone = tf_models.build_backbone(name, **{**options, "input_shape": (None, None, 3)})
    own = {weight.path: weight for weight in classifier.weights}
    for weight in backbone.weights:
        weight.assign(own[weight.path])
    ends = {level: tensor._keras_history.operation.name for level, tensor in backbone.output.items()}
    inner = keras.Model(classifier.input, {level: classifier.get_layer(end).output for level, end in ends.items()})
    batch = suite.inputs(classifier, 2)
    for level, (found, expected) in pairs(backbone(batch), inner(batch)).items():
        assert distance(found, expected) < ROUNDING, level
    side = 32
    for level, features in backbone(tf.zeros((1, side, 2 * side, 3))).items():
        stride = 2 ** int(level.removeprefix("C"))
        assert features.shape[1:3] == (side // stride, 2 * side // stride), level
    for height, width in ((45, 33), (8, 8)):
        assert backbone(tf.zeros((1, height, width, 3))).keys() == ends.keys()


def as_json(config: dict) -> str:
    return json.dumps(config, sort_keys=True, default=str)  # where tuples are lists, as in a file


def pairs(found: dict, expected: dict) -> dict:
    assert found.keys() == expected.keys()
    return {level: (found[level], expected[level]) for level in found}

"""Weights of keras.applications' and torchvision's ResNets give their outputs and gradients in our models."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is loaded

import keras
import numpy as np
import pytest
import safetensors.torch
import tensorflow as tf
import torch
from torch import nn

from tests.parity.published_resnets import (
    BLOCKS,
    CLASSES,
    KERAS_OPTIONS,
    TorchvisionResNet,
    by_layer,
    images_for_keras,
    ours_of,
    reference_of_keras,
    rgb_images,
    torchvision_options,
    write_keras2,
)
from tf_models.weights import load_weights

pytestmark = pytest.mark.usefixtures("files_removed")

KERAS_KINDS = ["published.h5", "model.h5", "model.weights.h5", "model.keras"]

# Both sides compute in float64; only our head, in float32, rounds the logits and the gradients that pass it. Up to 4e-7
# and 1e-7 were measured; batch norm's epsilon, if not folded, makes 2e-3.
LOGITS, GRADIENTS = 2e-6, 1e-6


def _images_for_keras_weights():
    return rgb_images() - (123.68, 116.779, 103.939)


@pytest.fixture(scope="module")
def keras_expected(keras_reference):
    return _keras_expected(keras_reference)


def _keras_expected(reference):
    """Logits and gradients of the reference, under our names and for RGB."""
    logits, gradients = _logits_and_gradients(reference, images_for_keras())
    gradients["images"] = gradients["images"][..., ::-1]
    gradients["conv1_conv/kernel"] = gradients["conv1_conv/kernel"][:, :, ::-1]
    return logits, {name: gradient for name, gradient in gradients.items() if not name.endswith("conv/bias")}


def _logits_and_gradients(model, images):
    """Returns logits and, by name, the gradients of a weighted sum of them, in inference mode."""
    images = tf.constant(images, model.compute_dtype)
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = model(images, training=False)
        loss = tf.reduce_sum(logits * _weights_of_logits(logits.dtype))
    gradients = tape.gradient(loss, [images, *(variable.value for variable in variables)])
    names = ["images", *(variable.path for variable in variables)]
    return logits.numpy(), {name: gradient.numpy() for name, gradient in zip(names, gradients)}


def _weights_of_logits(dtype):
    return tf.reshape(tf.sin(tf.range(2.0 * CLASSES, dtype=dtype)), [2, CLASSES])


def _distance(one, other):
    """Relative difference of two arrays, in the Euclidean norm."""
    assert one.shape == other.shape
    return np.linalg.norm(one - other) / np.linalg.norm(other)


def _assert_same(found, expected):
    (logits, gradients), (expected_logits, expected_gradients) = found, expected
    assert _distance(logits, expected_logits) < LOGITS
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        assert _distance(gradient, expected_gradients[name]) < GRADIENTS, name


@pytest.fixture(scope="module")
def published():
    """Our network, for the weights of keras.applications."""
    return ours_of(50, **KERAS_OPTIONS)


def _load_anew(model, path):
    for variable in model.weights:
        variable.assign(keras.ops.zeros_like(variable))
    loaded = load_weights(model, path)
    assert (loaded.assigned, loaded.initial, loaded.unused) == (len(model.weights), (), {})
    return model.get_weights()


def test_weights_of_keras_applications_give_its_logits_and_gradients(published, keras_folder, keras_expected):
    _load_anew(published, keras_folder / KERAS_KINDS[0])
    _assert_same(_logits_and_gradients(published, _images_for_keras_weights()), keras_expected)


@pytest.mark.parametrize("kind", KERAS_KINDS[1:])
def test_every_kind_of_keras_file_gives_the_same_weights(kind, published, keras_folder):
    expected = _load_anew(published, keras_folder / KERAS_KINDS[0])
    for found, wanted in zip(_load_anew(published, keras_folder / kind), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [101, 152])
def test_weights_of_deeper_keras_applications_give_its_logits_and_gradients(depth, tmp_path):
    reference, ours = reference_of_keras(depth), ours_of(depth, **KERAS_OPTIONS)
    write_keras2(tmp_path / "published.h5", by_layer(reference))
    load_weights(ours, tmp_path / "published.h5")
    _assert_same(_logits_and_gradients(ours, _images_for_keras_weights()), _keras_expected(reference))


def test_weights_of_keras_applications_train_as_they_do_there(published, keras_reference, keras_folder):
    """There a bias vanishes against the mean of the batch."""
    load_weights(published, keras_folder / "published.h5")
    before = keras_reference.get_weights()
    try:
        expected = keras_reference(images_for_keras(), training=True).numpy()
    finally:
        keras_reference.set_weights(before)
    # Their epsilon adds 1e-8 to variances of the batch around 1e-3; 7e-5 was measured.
    assert _distance(published(_images_for_keras_weights(), training=True).numpy(), expected) < 1e-3


def test_a_model_in_float32_gives_the_logits_before_and_after_it_is_saved(keras_folder, keras_expected, tmp_path):
    ours = ours_of(50, "float32", **KERAS_OPTIONS)
    load_weights(ours, keras_folder / "published.h5")
    images = _images_for_keras_weights().astype("float32")
    logits = ours(images, training=False).numpy()
    # Fifty layers of float32; 2e-4 was measured.
    assert _distance(logits, keras_expected[0]) < 2e-3
    ours.save(tmp_path / "model.keras")
    saved = keras.saving.load_model(tmp_path / "model.keras")
    assert load_weights(ours, tmp_path / "model.keras").inputs is None  # ours now: nothing is folded again
    assert np.array_equal(saved(images, training=False), logits)
    assert np.array_equal(ours(images, training=False), logits)


def _torchvision_reference(depth):
    """Builds a network in inference mode, batch norms livened with images; all its weights are float32 numbers."""
    torch.manual_seed(1)
    model = TorchvisionResNet(depth)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.3, 0.3)
            norm.momentum = 1.0
        model.train()(_torch_images())
    return model.eval()


def _torch_images():
    """As torchvision prepares them: float32 numbers, which is what our networks take, [2, 3, SIDE, SIDE]."""
    images = torch.tensor(rgb_images().transpose(0, 3, 1, 2) / 255)
    mean, stddev = (
        torch.tensor(x, dtype=images.dtype)[:, None, None] for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    return ((images - mean) / stddev).float()


def _images_for_torchvision_weights():
    return (rgb_images() - (123.675, 116.28, 103.53)) / (58.395, 57.12, 57.375)


def _torch_logits_and_gradients(model):
    """Returns logits and the gradients of the same sum by the images and by torchvision's names, in Keras' layout."""
    images = _torch_images().double().requires_grad_(True)
    logits = model.double()(images)
    loss = (logits * torch.tensor(_weights_of_logits("float64").numpy())).sum()
    parameters = dict(model.named_parameters())
    of_images, *gradients = torch.autograd.grad(loss, [images, *parameters.values()])
    found = {name: _keras_layout(gradient.numpy()) for name, gradient in zip(parameters, gradients)}
    return logits.detach().numpy(), {"images": of_images.numpy().transpose(0, 2, 3, 1), **found}


def _keras_layout(array):
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def _torchvision_names(depth):
    """Our names of learned weights -> torchvision's, written out block by block."""
    modules = {"conv1_conv": "conv1", "conv1_bn": "bn1", "predictions": "fc"}
    for stage, count in enumerate(BLOCKS[depth], start=1):
        for block in range(count):
            ours, theirs = f"conv{stage + 1}_block{block + 1}_", f"layer{stage}.{block}."
            modules |= {f"{ours}0_conv": f"{theirs}downsample.0", f"{ours}0_bn": f"{theirs}downsample.1"}
            for i in (1, 2, 3):
                modules |= {f"{ours}{i}_conv": f"{theirs}conv{i}", f"{ours}{i}_bn": f"{theirs}bn{i}"}
    kinds = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}
    return {f"{layer}/{w}": f"{module}.{kinds[w]}" for layer, module in modules.items() for w in kinds}


@pytest.mark.parametrize("depth", [18, 50, *(pytest.param(depth, marks=pytest.mark.slow) for depth in (34, 101, 152))])
def test_weights_of_torchvision_give_its_logits_and_gradients(depth, tmp_path):
    reference, ours = _torchvision_reference(depth), ours_of(depth, **torchvision_options(depth))
    safetensors.torch.save_file(reference.state_dict(), tmp_path / "resnet.safetensors")
    loaded = load_weights(ours, tmp_path / "resnet.safetensors")
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in reference.modules())
    assert (loaded.assigned, loaded.unused) == (len(ours.weights), {"num_batches_tracked": norms})
    logits, gradients = _logits_and_gradients(ours, _images_for_torchvision_weights())
    theirs = _torchvision_names(depth)
    renamed = {theirs.get(name, name): gradient for name, gradient in gradients.items()}
    _assert_same((logits, renamed), _torch_logits_and_gradients(reference))


@pytest.mark.parametrize(
    ("depth", "parameters"), [(18, 11689512), (34, 21797672), (50, 25557032), (101, 44549160), (152, 60192808)]
)
def test_the_reference_has_as_many_parameters_as_torchvision_documents(depth, parameters):
    with torch.device("meta"):
        assert sum(p.numel() for p in TorchvisionResNet(depth, classes=1000).parameters()) == parameters

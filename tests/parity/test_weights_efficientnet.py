"""Weights of keras.applications' EfficientNet, in every kind of file, give its outputs and gradients in our models."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from tf_models import build_model
from tf_models.weights import load_weights

SIDE = 64
CLASSES = 10
REPEATS = {"b0": (1, 2, 2, 3, 3, 4, 1), "b1": (2, 3, 3, 4, 4, 5, 2)}  # blocks of each stage
KINDS = ["keras2.h5", "keras2_model.h5", "keras3.weights.h5", "keras3.keras", "model.ckpt-7", "b0.safetensors"]


@pytest.fixture(scope="module")
def reference():
    return _reference(keras.applications.EfficientNetB0)


@pytest.fixture(scope="module")
def ours():
    return build_model("efficientnet_b0", num_classes=CLASSES, input_shape=(SIDE, SIDE, 3))


@pytest.fixture(scope="module")
def b1():
    return build_model("efficientnet_b1", num_classes=CLASSES, input_shape=(32, 32, 3))


@pytest.fixture(scope="module")
def expected(reference):
    return _logits_and_gradients(reference, _images())


@pytest.fixture(scope="module")
def folder(reference, tmp_path_factory):
    """One folder with the reference's weights in every kind of file."""
    folder = tmp_path_factory.mktemp("weights")
    _write_keras2(reference, folder / "keras2.h5")
    reference.save(folder / "keras2_model.h5")
    reference.save_weights(folder / "keras3.weights.h5")
    reference.save(folder / "keras3.keras")
    _write_tf1(reference, "b0", str(folder / "model.ckpt-7"))
    save_file(_pytorch_weights(reference, "b0"), folder / "b0.safetensors")
    return folder


def _load_anew(model, path):
    for variable in model.weights:
        variable.assign(keras.ops.zeros_like(variable))
    loaded = load_weights(model, path)
    assert (loaded.assigned, loaded.initial) == (311, ())
    return model.get_weights()


def test_weights_of_keras_applications_give_its_logits_and_gradients(folder, expected, ours):
    _load_anew(ours, folder / KINDS[0])
    logits, gradients = _logits_and_gradients(ours, _images() / 255)
    expected_logits, expected_gradients = expected
    assert np.std(expected_logits) > 1e-3
    # Sixteen blocks of float32 in another order of operations.
    np.testing.assert_allclose(logits, expected_logits, atol=1e-4 * np.abs(expected_logits).max())
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        scale = np.abs(expected_gradients[name]).max()
        assert scale > 0, name
        np.testing.assert_allclose(gradient, expected_gradients[name], atol=1e-3 * scale, err_msg=name)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_every_kind_of_file_gives_the_same_weights(kind, folder, ours):
    expected = _load_anew(ours, folder / KINDS[0])
    for found, wanted in zip(_load_anew(ours, folder / kind), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_what_is_not_used_is_reported_compactly(folder, ours):
    assert load_weights(ours, folder / "keras2.h5").unused == {"normalization": 3}
    assert load_weights(ours, folder / "keras3.weights.h5").unused == {"normalization": 3}
    assert load_weights(ours, folder / "b0.safetensors").unused == {"num_batches_tracked": 49}
    unused = load_weights(ours, folder / "model.ckpt-7").unused
    assert unused == {"global_step": 1, "copies that are not averaged": 311, "*/RMSProp": 311, "*/RMSProp_1": 311}


@pytest.mark.parametrize("given", ["model.ckpt-7.index", "model.ckpt-7.data-00000-of-00001", ""])
def test_a_checkpoint_may_be_named_by_each_of_its_files_or_its_folder(given, folder, ours):
    assert load_weights(ours, folder / given).path == str(folder / "model.ckpt-7")


def test_a_second_block_without_expansion_is_found_in_a_tf1_checkpoint(tmp_path, b1):
    reference = _reference(keras.applications.EfficientNetB1, side=32)
    _write_tf1(reference, "b1", str(tmp_path / "model.ckpt"))
    load_weights(b1, tmp_path)
    images = _images(side=32)
    expected = reference(images, training=False).numpy()
    np.testing.assert_allclose(b1(images / 255, training=False), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["keras3.keras", "model.ckpt-7", "b0.safetensors"])
def test_weights_of_b0_are_refused_by_b1(kind, folder, b1):
    with pytest.raises(ValueError, match=r"lacks weights of efficientnet_b1: block\w+/\w+ and \d+ more"):
        load_weights(b1, folder / kind)


def _reference(builder, side=SIDE):
    """Builds a model none of whose weights has its default value; with weights=None it only divides images by 255."""
    keras.utils.set_random_seed(1)
    model = builder(weights=None, input_shape=(side, side, 3), classes=CLASSES, classifier_activation=None)
    random = np.random.default_rng(1)
    for variable in model.weights:
        layer, _, name = variable.path.rpartition("/")
        if layer == "normalization" or name == "kernel":
            continue
        low, high = (0.5, 1.5) if name in ("gamma", "moving_variance") else (-0.3, 0.3)
        variable.assign(random.uniform(low, high, variable.shape))
    return model


def _images(side=SIDE):
    return np.random.default_rng(2).uniform(0, 255, (2, side, side, 3)).astype("float32")


def _logits_and_gradients(model, images):
    """Returns logits and, by name, the gradients of a weighted sum of them, in inference mode (nothing is drawn)."""
    with tf.GradientTape() as tape:
        logits = model(images, training=False)
        loss = tf.reduce_sum(logits * tf.reshape(tf.sin(tf.range(2.0 * CLASSES)), [2, CLASSES]))
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    return logits.numpy(), {v.path: g.numpy() for v, g in zip(variables, gradients, strict=True)}


def _write_keras2(model, path):
    """Writes the layout of the published efficientnetb0.h5: weights only, as TensorFlow 2.3's Keras named them."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = []
            for variable in layer.weights:
                weight = "depthwise_kernel" if layer.name.endswith("dwconv") else variable.name
                names.append(f"{layer.name}/{weight}:0")
                group[names[-1]] = variable.numpy()
            group.attrs["weight_names"] = [name.encode() for name in names]


def _numbered_blocks(variant):
    """Yields (global index, our prefix, has an expansion): stage 1 of keras.applications has none, in any variant."""
    names = [(stage, letter) for stage, n in enumerate(REPEATS[variant], 1) for letter in "abcdefgh"[:n]]
    return [(index, f"block{stage}{letter}_", stage > 1) for index, (stage, letter) in enumerate(names)]


def _tf1_modules(variant):
    """TF1 module -> our layer, written out from the order in which the authors' code creates the layers."""
    norm = "tpu_batch_normalization"
    modules = {"stem/conv2d": "stem_conv", f"stem/{norm}": "stem_bn"}
    modules |= {"head/conv2d": "top_conv", f"head/{norm}": "top_bn", "head/dense": "predictions"}
    for i, ours, expands in _numbered_blocks(variant):
        if expands:
            order = {"conv2d": "expand_conv", norm: "expand_bn", f"{norm}_1": "bn"}
            order |= {"conv2d_1": "project_conv", f"{norm}_2": "project_bn"}
        else:
            order = {norm: "bn", "conv2d": "project_conv", f"{norm}_1": "project_bn"}
        order |= {"depthwise_conv2d": "dwconv", "se/conv2d": "se_reduce", "se/conv2d_1": "se_expand"}
        modules |= {f"blocks_{i}/{theirs}": ours + layer for theirs, layer in order.items()}
    return modules


def _write_tf1(model, variant, prefix):
    """Writes a checkpoint in which only the moving averages are the model's weights."""
    tensors = {"global_step": tf.constant(7, tf.int64)}
    for module, layer in _tf1_modules(variant).items():
        for variable in model.get_layer(layer).weights:
            weight = "depthwise_kernel" if layer.endswith("dwconv") else variable.name
            name, value = f"efficientnet-{variant}/{module}/{weight}", tf.convert_to_tensor(variable)
            tensors |= {name: value + 1, f"{name}/ExponentialMovingAverage": value}
            tensors |= {f"{name}/RMSProp": tf.ones_like(value), f"{name}/RMSProp_1": tf.zeros_like(value)}
    names, values = zip(*tensors.items(), strict=True)
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)


def _pytorch_weights(model, variant):
    modules = {"_conv_stem": "stem_conv", "_bn0": "stem_bn"}
    modules |= {"_conv_head": "top_conv", "_bn1": "top_bn", "_fc": "predictions"}
    for i, ours, expands in _numbered_blocks(variant):
        order = {"_depthwise_conv": "dwconv", "_bn1": "bn", "_se_reduce": "se_reduce", "_se_expand": "se_expand"}
        order |= {"_project_conv": "project_conv", "_bn2": "project_bn"}
        order |= {"_expand_conv": "expand_conv", "_bn0": "expand_bn"} if expands else {}
        modules |= {f"_blocks.{i}.{theirs}": ours + layer for theirs, layer in order.items()}
    weights = {}
    for module, layer in modules.items():
        if layer.endswith("bn"):
            names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
            weights[f"{module}.num_batches_tracked"] = np.array(7)
        else:
            names = {"kernel": "weight", "bias": "bias"}
        for variable in model.get_layer(layer).weights:
            weights[f"{module}.{names[variable.name]}"] = np.ascontiguousarray(_pytorch_layout(variable.numpy(), layer))
    return weights


def _pytorch_layout(array, layer):
    if layer.endswith("dwconv"):  # [height, width, channels, 1] -> [channels, 1, height, width]
        return np.moveaxis(array, (2, 3), (0, 1))
    if array.ndim == 4:  # [height, width, in, out] -> [out, in, height, width]
        return np.moveaxis(array, (3, 2), (0, 1))
    return array.T

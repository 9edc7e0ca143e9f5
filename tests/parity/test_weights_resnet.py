"""Weights of keras.applications' and torchvision's ResNets give their outputs and gradients in our models.

torchvision itself is not needed: its networks are written down here, with its names.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is loaded

import contextlib
import re
import shutil

import h5py
import keras
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import tensorflow as tf
import torch
from torch import nn

from flags import catalog, overrides
from tf_models import build_model
from tf_models.weights import load_weights

SIDE = 49  # of the 25 rows that conv1 makes, padding on both sides pools 13, padding at the end 12
CLASSES = 7
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
KERAS_OPTIONS = {"bottleneck_stride": "1x1", "pool_padding": "symmetric"}
KERAS_KINDS = ["published.h5", "model.h5", "model.weights.h5", "model.keras"]
KERAS_BUILDERS = {
    50: keras.applications.ResNet50,
    101: keras.applications.ResNet101,
    152: keras.applications.ResNet152,
}

# Both sides compute in float64; only our head, in float32, rounds the logits and the gradients that pass it. Up to 4e-7
# and 1e-7 were measured; batch norm's epsilon, if not folded, makes 2e-3.
LOGITS, GRADIENTS = 2e-6, 1e-6


class Block(nn.Module):
    """torchvision's BasicBlock or Bottleneck; `convs` has kernel, filters and stride of each convolution."""

    def __init__(self, channels, convs):
        super().__init__()
        self.depth = len(convs)
        before, strides = channels, 1
        for number, (kernel, filters, stride) in enumerate(convs, start=1):
            self.add_module(f"conv{number}", nn.Conv2d(before, filters, kernel, stride, kernel // 2, bias=False))
            self.add_module(f"bn{number}", nn.BatchNorm2d(filters))
            before, strides = filters, strides * stride
        self.downsample = None
        if strides > 1 or channels != before:
            self.downsample = nn.Sequential(nn.Conv2d(channels, before, 1, strides, bias=False), nn.BatchNorm2d(before))

    def forward(self, x):
        y = x
        for number in range(1, self.depth + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = torch.relu(y) if number < self.depth else y
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class TorchvisionResNet(nn.Module):
    """torchvision.models.resnet18 to resnet152: images [batch, 3, height, width] to logits [batch, classes]."""

    def __init__(self, depth, classes=CLASSES):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for stage, count in enumerate(BLOCKS[depth]):
            blocks, width = [], 64 * 2**stage
            for number in range(count):
                stride = 2 if stage > 0 and number == 0 else 1
                if depth < 50:
                    convs = [(3, width, stride), (3, width, 1)]
                else:
                    convs = [(1, width, 1), (3, width, stride), (1, 4 * width, 1)]
                blocks.append(Block(channels, convs))
                channels = convs[-1][1]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


@contextlib.contextmanager
def _precision(policy):
    """What is built inside computes in `policy`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _ours(depth, policy="float64", num_classes=CLASSES, **options):
    with _precision(policy):
        return build_model(f"resnet{depth}", num_classes=num_classes, input_shape=(SIDE, SIDE, 3), **options)


def _images():
    """RGB images [2, SIDE, SIDE, 3] in 0..255."""
    return np.random.default_rng(2).uniform(0, 255, (2, SIDE, SIDE, 3))


def _keras_reference(depth):
    """Builds a model whose epsilon matters; none of its weights has its default value, all are float32 numbers."""
    keras.utils.set_random_seed(1)
    with _precision("float64"):
        model = KERAS_BUILDERS[depth](
            weights=None, input_shape=(SIDE, SIDE, 3), classes=CLASSES, classifier_activation=None
        )
    random = np.random.default_rng(1)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for variable in model.weights:
        if variable.name == "kernel":
            variable.assign(variable * (1 if variable.path.startswith("predictions") else 0.1))
        else:
            low, high = (0.5, 1.5) if variable.name == "gamma" else (-0.3, 0.3)
            variable.assign(random.uniform(low, high, variable.shape))
    for norm in norms:
        norm.momentum = 0.0
    model(_keras_images(), training=True)
    for variable in model.weights:
        variable.assign(variable.numpy().astype("float32"))
    return model


def _keras_images():
    return keras.applications.resnet.preprocess_input(_images())


def _images_for_keras_weights():
    return _images() - (123.68, 116.779, 103.939)


def _write_keras2(path, arrays):
    """Writes the layout of the published files: weights only, as TensorFlow's Keras 2 named them."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in dict.fromkeys(layer for layer, _ in arrays)]
        for (layer, weight), array in arrays.items():
            file[f"{layer}/{layer}/{weight}:0"] = array.astype("float32")


def _by_layer(model):
    return {tuple(variable.path.split("/")): variable.numpy() for variable in model.weights}


@pytest.fixture(autouse=True)
def files_removed(tmp_path):
    """Each weighs up to 240 MB, and pytest would keep those of three sessions."""
    yield
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="module")
def keras_reference():
    return _keras_reference(50)


@pytest.fixture(scope="module")
def keras_folder(keras_reference, tmp_path_factory):
    """One folder with the reference's weights in every kind of file of Keras; removed at the end, for its size."""
    folder = tmp_path_factory.mktemp("keras")
    _write_keras2(folder / "published.h5", _by_layer(keras_reference))
    keras_reference.save(folder / "model.h5")
    keras_reference.save_weights(folder / "model.weights.h5")
    keras_reference.save(folder / "model.keras")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def keras_expected(keras_reference):
    return _keras_expected(keras_reference)


def _keras_expected(reference):
    """Logits and gradients of the reference, under our names and for RGB."""
    logits, gradients = _logits_and_gradients(reference, _keras_images())
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


@pytest.mark.parametrize("kind", KERAS_KINDS)
def test_weights_of_keras_applications_give_its_logits_and_gradients(kind, keras_folder, keras_expected):
    ours = _ours(50, **KERAS_OPTIONS)
    loaded = load_weights(ours, keras_folder / kind)
    assert (loaded.assigned, loaded.initial, loaded.unused) == (len(ours.weights), (), {})
    _assert_same(_logits_and_gradients(ours, _images_for_keras_weights()), keras_expected)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [101, 152])
def test_weights_of_deeper_keras_applications_give_its_logits_and_gradients(depth, tmp_path):
    reference, ours = _keras_reference(depth), _ours(depth, **KERAS_OPTIONS)
    _write_keras2(tmp_path / "published.h5", _by_layer(reference))
    load_weights(ours, tmp_path / "published.h5")
    _assert_same(_logits_and_gradients(ours, _images_for_keras_weights()), _keras_expected(reference))


def test_weights_of_keras_applications_train_as_they_do_there(keras_reference, keras_folder):
    """There a bias vanishes against the mean of the batch."""
    ours = _ours(50, **KERAS_OPTIONS)
    load_weights(ours, keras_folder / "published.h5")
    before = keras_reference.get_weights()
    try:
        expected = keras_reference(_keras_images(), training=True).numpy()
    finally:
        keras_reference.set_weights(before)
    # Their epsilon adds 1e-8 to variances of the batch around 1e-3; 7e-5 was measured.
    assert _distance(ours(_images_for_keras_weights(), training=True).numpy(), expected) < 1e-3


def test_a_model_in_float32_gives_the_logits_before_and_after_it_is_saved(keras_folder, keras_expected, tmp_path):
    ours = _ours(50, "float32", **KERAS_OPTIONS)
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


def test_a_head_under_its_older_name_is_found(tmp_path, keras_shapes, resnet50_keras):
    arrays = {("probs" if layer == "predictions" else layer, weight): a for (layer, weight), a in keras_shapes.items()}
    _write_keras2(tmp_path / "old.h5", arrays)
    loaded = load_weights(resnet50_keras, tmp_path / "old.h5")
    assert (loaded.file_classes, loaded.initial, loaded.unused) == (CLASSES, (), {})


def test_a_file_of_keras_applications_without_top_leaves_the_models_head(tmp_path, keras_shapes, resnet50_keras):
    arrays = {name: array for name, array in keras_shapes.items() if name[0] != "predictions"}
    _write_keras2(tmp_path / "notop.h5", arrays)
    loaded = load_weights(resnet50_keras, tmp_path / "notop.h5")
    assert loaded.initial == ("predictions",)
    assert "head with 7 classes left as initialised, the file has none" in str(loaded)


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
    images = torch.tensor(_images().transpose(0, 3, 1, 2) / 255)
    mean, stddev = (
        torch.tensor(x, dtype=images.dtype)[:, None, None] for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    return ((images - mean) / stddev).float()


def _images_for_torchvision_weights():
    return (_images() - (123.675, 116.28, 103.53)) / (58.395, 57.12, 57.375)


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


def _torchvision_options(depth):
    return {"pool_padding": "symmetric"} | ({"bottleneck_stride": "3x3"} if depth >= 50 else {})


@pytest.mark.parametrize("depth", [18, 50, *(pytest.param(depth, marks=pytest.mark.slow) for depth in (34, 101, 152))])
def test_weights_of_torchvision_give_its_logits_and_gradients(depth, tmp_path):
    reference, ours = _torchvision_reference(depth), _ours(depth, **_torchvision_options(depth))
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


@pytest.fixture(scope="module")
def keras_shapes(keras_reference):
    """Zeros in the shapes of keras.applications' ResNet50."""
    return {name: np.zeros_like(array) for name, array in _by_layer(keras_reference).items()}


@pytest.fixture(scope="module")
def resnet18():
    return _ours(18, **_torchvision_options(18))


@pytest.fixture(scope="module")
def resnet50_keras():
    return _ours(50, **KERAS_OPTIONS)


def _write_torchvision(path, depth, **changed):
    """Writes zeros in the shapes of torchvision's network; of `changed`, None takes a tensor out."""
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in TorchvisionResNet(depth).state_dict().items()}
    arrays = {name: np.zeros(shape, "float16") for name, shape in shapes.items()} | changed
    safetensors.numpy.save_file({name: array for name, array in arrays.items() if array is not None}, path)
    return path


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
    path = _write_torchvision(tmp_path / "r.safetensors", 50)
    assert _refusal(_ours(50, **options), path) == (
        "torchvision's networks have the stride in the 3x3 and pad the pool on both sides; build the model with "
        "shortcut='B', bottleneck_stride='3x3', pool_padding='symmetric' (--set=model.shortcut=B "
        "--set=model.bottleneck_stride=3x3 --set=model.pool_padding=symmetric)"
    )


def test_a_torchvision_file_is_refused_by_a_basic_model_that_pads_otherwise(tmp_path):
    path = _write_torchvision(tmp_path / "r.safetensors", 18)
    assert _refusal(_ours(18), path) == (
        "torchvision's networks pad the pool on both sides; build the model with shortcut='B', "
        "pool_padding='symmetric' (--set=model.shortcut=B --set=model.pool_padding=symmetric)"
    )


@pytest.mark.parametrize(
    "options", [{}, {"pool_padding": "symmetric", "bottleneck_stride": "3x3"}, {"bottleneck_stride": "3x3"}]
)
def test_a_keras_applications_file_is_refused_by_a_model_built_otherwise(options, keras_folder):
    assert _refusal(_ours(50, **options), keras_folder / "model.keras") == (
        "keras.applications' networks have the stride in the first 1x1 and pad the pool on both sides; build the model "
        "with shortcut='B', bottleneck_stride='1x1', pool_padding='symmetric' (--set=model.shortcut=B "
        "--set=model.bottleneck_stride=1x1 --set=model.pool_padding=symmetric)"
    )


@pytest.mark.parametrize("shortcut", ["A", "C"])
def test_a_torchvision_file_names_the_shortcut_to_a_model_with_another(shortcut, tmp_path):
    path = _write_torchvision(tmp_path / "r.safetensors", 18)
    message = _refusal(_ours(18, shortcut=shortcut), path)
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
    path = _write_torchvision(tmp_path / "r.safetensors", of)
    message = _refusal(_ours(depth, **_torchvision_options(depth)), path)
    assert words in message and f"use a file of resnet{depth}, or build the model that the file is of" in message


def test_a_keras_applications_file_of_a_deeper_network_is_refused(tmp_path, keras_shapes, resnet50_keras):
    deeper = {(layer.replace("block6", "block7"), w): a for (layer, w), a in keras_shapes.items() if "block6" in layer}
    _write_keras2(tmp_path / "r101.h5", keras_shapes | deeper)
    message = _refusal(resnet50_keras, tmp_path / "r101.h5")
    assert message.startswith("has weights that resnet50 lacks: conv4_block7_")


def test_a_keras_applications_file_of_a_shallower_network_is_refused(tmp_path, keras_shapes, resnet50_keras):
    _write_keras2(tmp_path / "r41.h5", {name: a for name, a in keras_shapes.items() if "conv4_block6" not in name[0]})
    message = _refusal(resnet50_keras, tmp_path / "r41.h5")
    assert message.startswith("lacks weights of resnet50: conv4_block6_1_conv/kernel and 14 more")


def test_a_resnet_v2_of_keras_applications_is_refused(tmp_path, resnet50_keras):
    v2 = keras.applications.ResNet50V2(weights=None, input_shape=(SIDE, SIDE, 3), classes=CLASSES)
    v2.save_weights(tmp_path / "v2.weights.h5")
    message = _refusal(resnet50_keras, tmp_path / "v2.weights.h5")
    assert message.startswith("lacks weights of resnet50: conv1_bn/gamma and ")
    assert message.endswith("use a file of resnet50, or build the model that the file is of")


def test_a_torchvision_file_that_lacks_a_tensor_is_refused(tmp_path, resnet18):
    path = _write_torchvision(tmp_path / "r.safetensors", 18, **{"layer3.1.bn2.running_var": None})
    assert _refusal(resnet18, path).startswith("lacks weights of resnet18: conv4_block2_2_bn/moving_variance; use ")


def test_a_torchvision_file_with_a_tensor_of_another_shape_is_refused(tmp_path, resnet18):
    path = _write_torchvision(tmp_path / "r.safetensors", 18, **{"conv1.weight": np.zeros((64, 1, 7, 7), "float16")})
    assert _refusal(resnet18, path).startswith(
        "wrong shape of conv1_conv/kernel (the file has (7, 7, 1, 64), resnet18 expects (7, 7, 3, 64)); use "
    )


def test_a_truncated_torchvision_file_is_called_damaged(tmp_path, resnet18):
    path = _write_torchvision(tmp_path / "r.safetensors", 18)
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
    _write_keras2(tmp_path / "r.h5", {name: array for name, array in arrays.items() if array is not None})
    message = _refusal(resnet50_keras, tmp_path / "r.h5")
    assert message.startswith(words)


def test_another_number_of_classes_keeps_the_models_head(tmp_path):
    ours = _ours(18, num_classes=3, **_torchvision_options(18))
    head = ours.get_layer("predictions").kernel.numpy()
    loaded = load_weights(ours, _write_torchvision(tmp_path / "r.safetensors", 18))
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
    loaded = load_weights(resnet18, _write_torchvision(tmp_path / "r.safetensors", 18))
    assert str(loaded).endswith(
        "; expects images as RGB in 0..255 less (123.675,116.28,103.53), divided by (58.395,57.12,57.375): "
        "--set=data.mean_image=false --set=data.mean=123.675,116.28,103.53 --set=data.stddev=58.395,57.12,57.375"
    )
    data = _recipe("resnet18", loaded.inputs).data
    assert (data.mean_image, data.mean, data.stddev) == (False, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


@pytest.mark.parametrize("depth", [18, 50])
def test_the_flags_of_a_refusal_build_a_model_that_takes_the_file(depth, tmp_path):
    path = _write_torchvision(tmp_path / "r.safetensors", depth)
    refused = _ours(depth, **catalog.get(f"resnet{depth}").model.options())
    options = _recipe(f"resnet{depth}", _refusal(refused, path)).model.options()
    assert load_weights(_ours(depth, **options), path).initial == ()


def _recipe(name, text):
    """The recipe with the --set flags in `text`."""
    experiment = catalog.get(name)
    return overrides.apply(experiment, overrides.parse(re.findall(r"--set=([^\s)]+)", text), experiment).items())

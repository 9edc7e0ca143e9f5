"""The image networks of Deep Double Descent against PyTorch's own layers, put together as the paper's networks are.

The reference knows our names of layers and nothing else of ours, and computes in float64. In float64 ours must agree to
the last digits that the float32 head leaves; in float32, which takes other kernels, to what rounding explains.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is loaded

import dataclasses
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
import torch.nn.functional as F
from torch import nn

import tf_models

CLASSES = 10
BATCH = 8
# Of logits and statistics; of gradients. In float64 only the head, which computes in float32, rounds: 2e-7 and 4e-7
# were measured. In float32 a rounded sum may change its sign before a ReLU, whose gradient then jumps, and on a
# background of one colour many do so at once: 2e-5 and 3e-2 were measured.
TOLERANCE = {"float64": (2e-6, 2e-6), "float32": (1e-4, 1e-1)}


class Cnn5(nn.Module):
    """Conv, batch norm and ReLU four times, with max pools of 1, 2, 2 and the rest, then a linear layer."""

    def __init__(self, k: int, side: int, channels: int):
        super().__init__()
        self.pools = (1, 2, 2, side // 4)
        widths = (channels, k, 2 * k, 4 * k, 8 * k)
        for number in range(1, 5):
            self.add_module(f"block{number}_conv", nn.Conv2d(widths[number - 1], widths[number], 3, padding=1))
            self.add_module(f"block{number}_bn", nn.BatchNorm2d(widths[number]))
        self.predictions = nn.Linear(8 * k, CLASSES)

    def forward(self, x):
        for number, pool in enumerate(self.pools, start=1):
            conv, norm = (self.get_submodule(f"block{number}_{kind}") for kind in ("conv", "bn"))
            x = F.max_pool2d(F.relu(norm(conv(x))), pool)
        return self.predictions(x.flatten(1))


class Block(nn.Module):
    """Batch norm, ReLU and convolution twice; a projection of what is activated first where dimensions change."""

    def __init__(self, before: int, width: int, stride: int):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(before), nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv0 = nn.Conv2d(before, width, 1, stride, bias=False) if stride > 1 or before != width else None

    def forward(self, x):
        activated = F.relu(self.bn1(x))
        shortcut = x if self.conv0 is None else self.conv0(activated)
        return shortcut + self.conv2(F.relu(self.bn2(self.conv1(activated))))


class PreactResNet18(nn.Module):
    """A 3x3 stem, four stages of two blocks, an average over the map, a linear layer."""

    def __init__(self, k: int, side: int, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, k, 3, padding=1, bias=False)
        before, blocks = k, {}
        for stage, (width, stride) in enumerate(((k, 1), (2 * k, 2), (4 * k, 2), (8 * k, 2)), start=2):
            blocks[f"conv{stage}_block1"] = Block(before, width, stride)
            blocks[f"conv{stage}_block2"] = Block(width, width, 1)
            before = width
        self.blocks = nn.ModuleDict(blocks)
        self.predictions = nn.Linear(8 * k, CLASSES)

    def forward(self, x):
        x = self.conv1(x)
        for block in self.blocks.values():
            x = block(x)
        return self.predictions(x.mean((2, 3)))


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    k: int
    side: int
    channels: int

    def reference(self) -> nn.Module:
        return {"cnn5": Cnn5, "preact_resnet18": PreactResNet18}[self.name](self.k, self.side, self.channels)

    def ours(self) -> keras.Model:
        shape = (self.side, self.side, self.channels)
        return tf_models.build_model(self.name, k=self.k, num_classes=CLASSES, input_shape=shape)


CASES = [Case("cnn5", *sizes) for sizes in ((1, 32, 3), (4, 28, 1), (4, 32, 3), (8, 28, 1), (8, 32, 3), (8, 12, 3))]
CASES += [  # 28 and 31 pixels are halved at odd sides too
    Case("preact_resnet18", *sizes) for sizes in ((1, 32, 3), (1, 28, 1), (4, 28, 1), (4, 31, 3), (8, 32, 3))
]


# Float32 takes the fused kernels, whatever the widths; the other cases are left to the slow tests.
FAST_IN_FLOAT32 = (CASES[3], CASES[9])

WEIGHTS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def torch_name(path: str) -> str:
    """The reference's name of a weight of ours."""
    layer, weight = path.split("/")
    layer = re.sub(r"(conv\d_block\d)_(\d)_(conv|bn)", r"blocks.\1.\3\2", layer)
    return f"{'conv1' if layer == 'conv1_conv' else layer}.{WEIGHTS[weight]}"


def keras_layout(tensor: torch.Tensor) -> np.ndarray:
    array = tensor.detach().numpy()
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def torch_layout(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T, dtype=torch.float64)


def with_weights_of(model: keras.Model, case: Case) -> nn.Module:
    """The reference in float64; every number in it that counts comes from `model`."""
    reference = case.reference().double()
    weights = {torch_name(variable.path): torch_layout(variable.numpy()) for variable in model.weights}
    counters = {name: torch.tensor(0) for name in reference.state_dict() if name.endswith("num_batches_tracked")}
    reference.load_state_dict(weights | counters)  # refuses names that are missing or too many
    return reference


def liven(model: keras.Model, images: np.ndarray) -> None:
    """Batch norm weights that tell on the logits: random scales and offsets, statistics near to those of `images`."""
    random = np.random.default_rng(0)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.gamma.assign(random.uniform(0.8, 1.2, norm.gamma.shape))
        norm.beta.assign(random.uniform(-0.2, 0.2, norm.beta.shape))
        norm.momentum = 0.0
    model(images, training=True)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
        deviation = np.sqrt(norm.moving_variance)
        norm.moving_mean.assign_add(deviation * random.uniform(-0.2, 0.2, deviation.shape))
        norm.moving_variance.assign(norm.moving_variance * random.uniform(0.8, 1.2, deviation.shape))


def photographs(case: Case) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(BATCH, case.side, case.side, case.channels)).astype("float32")


def digits(case: Case) -> np.ndarray:
    """Strokes on a background of one colour, where the maxima of a pool tie."""
    images = photographs(case)
    images[:, :8] = images[:, 20:] = images[:, :, :8] = images[:, :, 20:] = -1
    return images


def images_of(case: Case) -> np.ndarray:
    return digits(case) if case.channels == 1 else photographs(case)


LABELS = np.arange(BATCH) % CLASSES


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            (case, dtype),
            id=f"{case.name}-k{case.k}-{case.side}x{case.side}x{case.channels}-{dtype}",
            marks=() if dtype == "float64" or case in FAST_IN_FLOAT32 else pytest.mark.slow,
        )
        for case in CASES
        for dtype in TOLERANCE
    ],
)
def pair(request):
    """Our network in a precision and the reference in float64, with equal weights; images and tolerances."""
    case, dtype = request.param
    keras.utils.set_random_seed(4)
    keras.config.set_dtype_policy(dtype)
    try:
        ours = case.ours()
    finally:
        keras.config.set_dtype_policy("float32")
    images = images_of(case)
    liven(ours, images)
    yield ours, case, images, TOLERANCE[dtype]
    keras.backend.clear_session()


def our_pass(model: keras.Model, images: np.ndarray, training: bool):
    """Logits, gradients and, after it, moving statistics by the reference's names; the weights stay as they were."""
    before, variables = model.get_weights(), model.trainable_weights
    with tf.GradientTape() as tape:
        logits = model(images, training=training)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, logits))
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    moved = {torch_name(variable.path): variable.numpy() for variable in model.non_trainable_weights}
    model.set_weights(before)
    named = {torch_name(v.path): gradient.numpy() for v, gradient in zip(variables, gradients, strict=True)}
    return logits.numpy(), named, moved


def reference_pass(reference: nn.Module, images: np.ndarray, training: bool):
    """As `our_pass`, arrays in Keras' layout."""
    reference.train(training)
    pixels = count_pixels(reference)
    before = {name: buffer.clone() for name, buffer in reference.named_buffers()}
    logits = reference(torch.tensor(images.transpose(0, 3, 1, 2), dtype=torch.float64))
    F.cross_entropy(logits, torch.tensor(LABELS)).backward()
    gradients = {name: keras_layout(parameter.grad) for name, parameter in reference.named_parameters()}
    moved = {name: buffer.numpy() for name, buffer in reference.named_buffers() if "running" in name}
    for name in [name for name in moved if training and name.endswith("running_var")]:
        # PyTorch keeps n / (n - 1) times the variance that it divides by, Keras that variance itself.
        count, kept = pixels[name.removesuffix(".running_var")], 0.9 * before[name].numpy()
        moved[name] = kept + (moved[name] - kept) * (count - 1) / count
    return logits.detach().numpy(), gradients, moved


def count_pixels(reference: nn.Module) -> dict[str, int]:
    """Filled in the next pass: over how many numbers each batch norm takes a mean."""
    pixels = {}
    for name, module in reference.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(
                lambda module, inputs, output, name=name: pixels.update({name: output.numel() // output.shape[1]})
            )
    return pixels


def distance(ours, reference) -> float:
    """Relative difference of two arrays, in the Euclidean norm."""
    return np.linalg.norm(np.subtract(ours, reference)) / np.linalg.norm(reference)


def worst(ours: dict, reference: dict) -> float:
    """The largest distance of two arrays of one name.

    One that is 0 but for rounding, like the gradient of biases that batch norm subtracts again, is held against a
    thousandth of the largest.
    """
    assert ours.keys() == reference.keys()
    least = 1e-3 * max(np.linalg.norm(array) for array in reference.values())
    return max(
        np.linalg.norm(np.subtract(ours[name], array)) / max(np.linalg.norm(array), least)
        for name, array in reference.items()
    )


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_logits_gradients_and_statistics_are_the_reference_s(pair, training):
    ours, case, images, (close, gradients_close) = pair
    logits, gradients, moved = our_pass(ours, images, training)
    expected, expected_gradients, expected_moved = reference_pass(with_weights_of(ours, case), images, training)
    assert distance(logits, expected) < close
    assert worst(moved, expected_moved) < close
    assert worst(gradients, expected_gradients) < gradients_close


# The comparison tells networks apart that have the same weights


def logits_of_both(ours: keras.Model, reference: nn.Module, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logits, _, _ = our_pass(ours, images, training=False)
    expected, _, _ = reference_pass(reference, images, training=False)
    return logits, expected


def lively(case: Case) -> tuple[keras.Model, np.ndarray]:
    keras.utils.set_random_seed(4)
    ours, images = case.ours(), photographs(case)
    liven(ours, images)
    return ours, images


RESNET = Case("preact_resnet18", 4, 32, 3)
FAR = 100 * TOLERANCE["float32"][0]


def test_padding_at_the_end_is_told_from_symmetric_padding():
    """As `padding="same"` would pad a convolution of stride 2: the map is one pixel off."""
    ours, images = lively(RESNET)
    for stage in (3, 4, 5):
        ours.get_layer(f"conv{stage}_block1_1_pad").padding = ((0, 1), (0, 1))
    assert distance(*logits_of_both(ours, with_weights_of(ours, RESNET), images)) > FAR


def test_a_projection_of_the_raw_input_is_told_from_one_of_the_activated_input():
    ours, images = lively(RESNET)
    reference = with_weights_of(ours, RESNET)
    for block in reference.blocks.values():
        block.forward = lambda x, block=block: (
            (x if block.conv0 is None else block.conv0(x))
            + block.conv2(F.relu(block.bn2(block.conv1(F.relu(block.bn1(x))))))
        )
    assert distance(*logits_of_both(ours, reference, images)) > FAR


def test_pools_in_another_order_are_told_from_the_paper_s():
    case = Case("cnn5", 4, 32, 3)
    ours, images = lively(case)
    reference = with_weights_of(ours, case)
    reference.pools = (2, 2, 1, 8)
    assert distance(*logits_of_both(ours, reference, images)) > FAR


# Initial weights


@pytest.mark.parametrize("name", ["cnn5", "preact_resnet18"])
def test_every_weight_begins_as_pytorch_s_own_layers_begin(name):
    """Kolmogorov's distance of two samples; true ones pass the bound once in a thousand."""
    case = Case(name, 16, 32, 3)
    keras.utils.set_random_seed(0)
    torch.manual_seed(0)
    ours, reference = case.ours(), case.reference().state_dict()
    for variable in ours.weights:
        values = variable.numpy().ravel()
        expected = reference[torch_name(variable.path)].numpy().ravel()
        both = np.concatenate([values, expected])
        below = [np.searchsorted(np.sort(sample), both, side="right") / sample.size for sample in (values, expected)]
        assert np.abs(below[0] - below[1]).max() < 1.95 * np.sqrt(2 / values.size), variable.path

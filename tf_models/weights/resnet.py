"""Names and conventions of ResNet's weights in keras.applications and torchvision.

keras.applications has the same names as our models, but a bias in each convolution, another epsilon in batch norm, and
BGR images. All three are folded into the weights, so that the network takes RGB; training is equivalent, because batch
norm subtracts any bias. torchvision has its own names. The shapes of weights do not show where a network has its
strides, how it pads, or how it preprocesses images.
"""

from __future__ import annotations

import re

import keras

from tf_models.weights import files
from tf_models.weights.translation import Translation, pytorch_arrays

EPSILON, KERAS_EPSILON = 1e-5, 1.001e-5  # of batch norm here and in keras.applications
KERAS_MEAN, KERAS_STDDEV = (123.68, 116.779, 103.939), (1, 1, 1)  # RGB in 0..255
TORCHVISION_MEAN, TORCHVISION_STDDEV = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

_KERNEL, _BIAS = ("kernel", 0), ("bias", 1)  # a number where our layer has no such weight
_HABITS = {
    ("bottleneck_stride", "1x1"): "have the stride in the first 1x1",
    ("bottleneck_stride", "3x3"): "have the stride in the 3x3",
    ("pool_padding", "symmetric"): "pad the pool on both sides",
}


def from_keras_applications(file: files.WeightFile, model: keras.Model) -> Translation | None:
    """Folds biases, epsilon and BGR into the weights. Returns None for our own files and for another family.

    Raises:
        ValueError: some convolutions in the file have a bias and some have none.
    """
    convs = [(layer, weight) for layer, weight in file.arrays if layer.endswith("_conv")]
    biases = {layer: weight for layer, weight in convs if weight in _BIAS}
    if not biases or ("conv1_bn", "gamma") not in file.arrays:
        return None
    unbiased = [layer for layer, weight in convs if weight in _KERNEL and layer not in biases]
    if unbiased:
        raise ValueError(f"{file.path}: damaged (lacks the bias of {unbiased[0]}); fetch or write it again")
    needed = {"bottleneck_stride": "1x1", "pool_padding": "symmetric"}
    return Translation(
        arrays=_folded(file.arrays, list(biases.items())),
        inputs=_inputs(KERAS_MEAN, KERAS_STDDEV),
        options=_options(needed),
        misfit=_misfit("keras.applications'", model, needed),
    )


def from_torchvision(file: files.WeightFile, model: keras.Model) -> Translation | None:
    """Renames and transposes torchvision's arrays; unknown names stay. Returns None for another family."""
    if ("layer4.0.conv1", "weight") not in file.arrays:
        return None
    needed = {"pool_padding": "symmetric"}
    if ("layer4.0.conv3", "weight") in file.arrays:
        needed = {"bottleneck_stride": "3x3", **needed}
    ours = {_torchvision_module(layer.name): layer.name for layer in model.layers} | {"fc": "predictions"}
    return Translation(
        arrays=pytorch_arrays(file.arrays, ours),
        inputs=_inputs(TORCHVISION_MEAN, TORCHVISION_STDDEV),
        options=_options(needed),
        misfit=_misfit("torchvision's", model, needed),
    )


def _folded(arrays: files.Arrays, biases: list[files.Name]) -> files.Arrays:
    """Folds biases, epsilon and BGR away; arrays without a matching partner stay, to be refused later."""
    # "probs" is the head in keras-applications before TensorFlow adopted it.
    folded = {
        ("predictions" if layer == "probs" else layer, weight): array for (layer, weight), array in arrays.items()
    }
    for layer, weight in biases:
        norm = layer.removesuffix("conv") + "bn"
        mean, variance = folded.get((norm, "moving_mean")), folded.get((norm, "moving_variance"))
        if mean is not None and variance is not None and mean.shape == folded[layer, weight].shape:
            folded[norm, "moving_mean"] = mean.astype("float64") - folded.pop((layer, weight)).astype("float64")
            folded[norm, "moving_variance"] = variance.astype("float64") + (KERAS_EPSILON - EPSILON)
    kernel = folded.get(("conv1_conv", "kernel"))
    if kernel is not None and kernel.shape[2:3] == (3,):
        folded["conv1_conv", "kernel"] = kernel[:, :, ::-1]
    return folded


def _torchvision_module(layer: str) -> str:
    """Returns torchvision's name for one of our layers."""
    block = re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", layer)
    if block is None:
        return {"conv1_conv": "conv1", "conv1_bn": "bn1", "predictions": "fc"}.get(layer, layer)
    stage, number, position, kind = block.groups()
    shortcut = {"conv": "downsample.0", "bn": "downsample.1"}
    return f"layer{int(stage) - 1}.{int(number) - 1}.{shortcut[kind] if position == '0' else kind + position}"


def _inputs(mean: tuple[float, ...], stddev: tuple[float, ...]) -> str:
    mean, stddev = (",".join(map(str, numbers)) for numbers in (mean, stddev))
    return (
        f"RGB in 0..255 less ({mean}), divided by ({stddev}): --set=data.mean_image=false --set=data.mean={mean} "
        f"--set=data.stddev={stddev}"
    )


def _options(needed: dict[str, str]) -> str:
    """Names the options of a model that fits the file, as arguments of `build_model` and as flags."""
    needed = {"shortcut": "B", **needed}
    arguments = ", ".join(f"{option}={value!r}" for option, value in needed.items())
    return f"{arguments} ({' '.join(f'--set=model.{option}={value}' for option, value in needed.items())})"


def _misfit(whose: str, model: keras.Model, needed: dict[str, str]) -> str | None:
    layers = {layer.name: layer for layer in model.layers}
    found = {}
    if "pool1_pad" in layers:
        found["pool_padding"] = "symmetric" if layers["pool1_pad"].padding == ((1, 1), (1, 1)) else "same"
    if "conv3_block1_3_conv" in layers:
        found["bottleneck_stride"] = "3x3" if layers["conv3_block1_1_conv"].strides == (1, 1) else "1x1"
    if all(found.get(option, value) == value for option, value in needed.items()):  # a backbone may end before
        return None
    return f"{whose} networks " + " and ".join(_HABITS[habit] for habit in needed.items())

"""The translation of a published weight file to our names, and helpers of the modules that translate one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

import keras

from tf_models.weights import files

_PYTORCH_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


@dataclasses.dataclass(frozen=True)
class Translation:
    """A file's weights as one of our models takes them; names that the model does not have are still the file's.

    Attributes:
        arrays: the weights.
        inputs: what they expect of the images, and the flags that say so; None: nothing is known of it.
        options: how to build the model that they are of, beside its name; None: nothing in particular.
        misfit: why the model computes another function with them, whatever the shapes say; None if it does not.
    """

    arrays: files.Arrays
    inputs: str | None = None
    options: str | None = None
    misfit: str | None = None


def is_backbone(model: keras.Model) -> bool:
    """Whether `model` gives feature maps by level; then it has no head, and may end before the network does."""
    return isinstance(model.output, dict) and all(re.fullmatch(r"C\d", level) for level in model.output)


def pytorch_arrays(arrays: files.Arrays, ours: Mapping[str, str]) -> files.Arrays:
    """Gives arrays of PyTorch our names and axes, where `ours` has a layer for the module."""
    translated = {}
    for (module, weight), array in arrays.items():
        if module in ours:
            layer = ours[module]
            names = _PYTORCH_NORM if layer.endswith("bn") else {"weight": "kernel"}
            array = files.keras_layout(array, is_depthwise=layer.endswith("dwconv"))
            translated[layer, names.get(weight, weight)] = array
        else:
            translated[module, weight] = array
    return translated

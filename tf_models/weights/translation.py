"""The result of translating a published weight file, and helpers for translating modules."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

import keras

from tf_models.weights import files

_PYTORCH_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


@dataclasses.dataclass(frozen=True)
class Translation:
    """The weights of a file with a model's names; names that the model does not have stay the file's.

    Attributes:
        arrays: the weights.
        inputs: the preprocessing that they expect, and the flags for it; None: unknown.
        options: how to build a model that fits them, besides its name; None: no particular options.
        misfit: why the model would compute another function although shapes match; None if it would not.
    """

    arrays: files.Arrays
    inputs: str | None = None
    options: str | None = None
    misfit: str | None = None


def is_backbone(model: keras.Model) -> bool:
    """Returns whether `model` is a backbone: it has no head and may end before the network's last stage."""
    return isinstance(model.output, dict) and all(re.fullmatch(r"C\d", level) for level in model.output)


def pytorch_arrays(arrays: files.Arrays, ours: Mapping[str, str]) -> files.Arrays:
    """Renames and transposes PyTorch arrays whose module has a layer in `ours`."""
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

"""Names of EfficientNet's layers in its authors' TF1 checkpoints and in its PyTorch port.

The port is lukemelas/EfficientNet-PyTorch. keras.applications has the same names as our models. The other two number
the blocks consecutively; TF1 also numbers the layers of a block, so its names depend on whether a block expands.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

import keras

from tf_models.weights import files
from tf_models.weights.translation import Translation, is_backbone, pytorch_arrays

_BLOCK = re.compile(r"_?blocks[._]\d")  # of both; our names have "block" and a number


def from_tf1(file: files.WeightFile, model: keras.Model) -> Translation | None:
    """Renames the arrays of a TF1 checkpoint; unknown names stay. Returns None for another family of networks."""
    stem = "stem/conv2d"
    scope = next((module.removesuffix(stem) for module, _ in file.arrays if module.endswith(stem)), None)
    if scope is None:
        return None
    ours = {scope + tf1: layer for tf1, _, layer in _modules([layer.name for layer in model.layers])}
    arrays = {
        (ours.get(module, module), "kernel" if weight == "depthwise_kernel" else weight): array
        for (module, weight), array in file.arrays.items()
    }
    return Translation(_with_later_blocks_apart(arrays, model))


def from_pytorch(file: files.WeightFile, model: keras.Model) -> Translation | None:
    """Renames and transposes the arrays of the PyTorch port; unknown names stay. Returns None for another family."""
    if ("_conv_stem", "weight") not in file.arrays:
        return None
    ours = {pytorch: layer for _, pytorch, layer in _modules([layer.name for layer in model.layers])}
    return Translation(_with_later_blocks_apart(pytorch_arrays(file.arrays, ours), model))


def _with_later_blocks_apart(arrays: files.Arrays, model: keras.Model) -> files.Arrays:
    """Groups the blocks after the end of a shortened backbone under one label, to be reported as unused.

    Their numbers alone could belong to a larger variant, but its first blocks would differ.
    """
    if not is_backbone(model):
        return arrays
    return {
        ("blocks after the backbone's last", f"{module}/{weight}") if _BLOCK.search(module) else (module, weight): array
        for (module, weight), array in arrays.items()
    }


def _modules(layers: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yields (TF1 module without its scope, PyTorch module, our layer) for a model with `layers`, in their order."""
    yield "stem/conv2d", "_conv_stem", "stem_conv"
    yield "stem/tpu_batch_normalization", "_bn0", "stem_bn"
    blocks = [layer.removesuffix("dwconv") for layer in layers if layer.endswith("dwconv")]
    for index, block in enumerate(blocks):
        tf1, pytorch = f"blocks_{index}/", f"_blocks.{index}."
        convs, norms = _numbered(tf1 + "conv2d"), _numbered(tf1 + "tpu_batch_normalization")
        if f"{block}expand_conv" in layers:
            yield next(convs), f"{pytorch}_expand_conv", f"{block}expand_conv"
            yield next(norms), f"{pytorch}_bn0", f"{block}expand_bn"
        yield f"{tf1}depthwise_conv2d", f"{pytorch}_depthwise_conv", f"{block}dwconv"
        yield next(norms), f"{pytorch}_bn1", f"{block}bn"
        yield f"{tf1}se/conv2d", f"{pytorch}_se_reduce", f"{block}se_reduce"
        yield f"{tf1}se/conv2d_1", f"{pytorch}_se_expand", f"{block}se_expand"
        yield next(convs), f"{pytorch}_project_conv", f"{block}project_conv"
        yield next(norms), f"{pytorch}_bn2", f"{block}project_bn"
    yield "head/conv2d", "_conv_head", "top_conv"
    yield "head/tpu_batch_normalization", "_bn1", "top_bn"
    yield "head/dense", "_fc", "predictions"


def _numbered(name: str) -> Iterator[str]:
    """Counts as TF1 does: name, name_1, name_2, .."""
    return itertools.chain([name], (f"{name}_{number}" for number in itertools.count(1)))

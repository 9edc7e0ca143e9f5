"""Loads published weight files, and files of this project, into models.

`files` reads every kind of file with its own names, one module per family of networks translates foreign names, and
this module checks and assigns the weights. A new family needs an entry in `_TRANSLATIONS`.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import os
import re

import keras

from tf_models.weights import efficientnet, files, resnet, sha_rnn
from tf_models.weights.translation import Translation, is_backbone

__all__ = ["HEAD", "Loaded", "load_weights"]

HEAD = "predictions"  # the classifier of every image model here
_TRANSLATIONS = {
    files.KERAS: [resnet.from_keras_applications],
    files.TF1: [efficientnet.from_tf1],
    files.PYTORCH: [efficientnet.from_pytorch, resnet.from_torchvision, sha_rnn.from_author],
}
_BLOCK = re.compile(r"(^|[/._])(blocks?|layers?|stage|stack)[_.]?\d")
_STAGE = re.compile(r"(conv|block|layer)(\d+)[a-z_.]")  # of our names, and of torchvision's modules


@dataclasses.dataclass(frozen=True)
class Loaded:
    """The result of loading a weight file; as a string, one line for the user.

    Attributes:
        path: the file that was read.
        kind: "Keras", "TF1 checkpoint" or "safetensors".
        model: the model's name.
        assigned: number of weight arrays set in the model.
        unused: arrays of the file that the model does not use: layer or label -> number of arrays.
        initial: layers of the model that keep their initial weights.
        file_classes: number of classes in the file; None if it has no head.
        model_classes: number of classes of the model; None if it has no head.
        inputs: the preprocessing that the weights expect, and the flags for it; None: unknown.
    """

    path: str
    kind: str
    model: str
    assigned: int
    unused: dict[str, int]
    initial: tuple[str, ...]
    file_classes: int | None
    model_classes: int | None
    inputs: str | None

    def __str__(self) -> str:
        parts = [f"{self.path} ({self.kind}): {self.assigned} arrays loaded into {self.model}"]
        if self.initial and self.file_classes is None:
            parts.append(f"head with {self.model_classes} classes left as initialised, the file has none")
        elif self.initial:
            parts.append(f"head replaced: {self.file_classes} -> {self.model_classes} classes")
        if self.unused:
            parts.append("not used: " + ", ".join(f"{label} ({count})" for label, count in self.unused.items()))
        if self.inputs:
            parts.append(f"expects images as {self.inputs}")
        return "; ".join(parts)


def load_weights(model: keras.Model, path: str | os.PathLike) -> Loaded:
    """Sets the model's weights from a file of any supported kind; an error leaves all weights unchanged.

    Only the head may keep its initial weights, if the file has no head or one with another number of classes. A
    backbone does not use the file's head or the stages after its last feature map.

    Args:
        model: a model or a backbone of this package. Weights are matched by name, so it may be distributed by any
            strategy.
        path: a Keras file (.keras, .weights.h5, .h5; ours or of keras.applications), a .safetensors file with the names
            of EfficientNet-PyTorch, of torchvision's ResNet or of SHA-RNN's author, a TF1 checkpoint (prefix, .index
            file or folder; moving averages are preferred), or a run folder.

    Returns:
        The number of weights assigned, the unused weights of the file, and the layers that keep their initial weights.

    Raises:
        FileNotFoundError: the path does not exist.
        ValueError: the file is damaged or of an unknown kind, or does not fit the model in names, shapes or options.
    """
    file = files.read(path)
    targets = _targets(model)
    translation = _translate(file, model, targets)
    arrays = translation.arrays
    classes, model_classes = _classes(arrays), _classes(targets)
    keeps_head = model_classes is not None and classes != model_classes
    wanted = {name: variable for name, variable in targets.items() if not (keeps_head and name[0] == HEAD)}
    _check(file, model, translation, targets, wanted)
    for name, variable in wanted.items():
        variable.assign(arrays[name])
    unused = collections.Counter(layer or weight for layer, weight in arrays if (layer, weight) not in wanted)
    return Loaded(
        path=file.path,
        kind=file.kind,
        model=model.name,
        assigned=len(wanted),
        unused=dict(unused + file.ignored),
        initial=(HEAD,) if keeps_head else (),
        file_classes=classes,
        model_classes=model_classes,
        inputs=translation.inputs,
    )


def _targets(model: keras.Model) -> dict[files.Name, keras.Variable]:
    """The model's weights by (layer, weight); the weights of a sublayer by (layer/sublayer, weight)."""
    targets = {}
    for variable in model.weights:
        layer, _, weight = variable.path.rpartition("/")
        targets[layer, weight] = variable
    if len(targets) != len(model.weights):
        raise ValueError(f"model={model.name!r}: two of its weights have one name, so a file cannot tell them apart")
    return targets


def _translate(file: files.WeightFile, model: keras.Model, targets: dict) -> Translation:
    """Translates the file's names, and numbers within a layer, to those of `targets`; keeps unknown names."""
    if file.kind == files.KERAS:
        file = dataclasses.replace(file, arrays=_without_numbers(file.arrays, targets))
    for translate in _TRANSLATIONS[file.kind]:
        translation = translate(file, model)
        if translation is not None:
            return translation
    if file.kind == files.KERAS:
        return Translation(file.arrays)
    example = ", ".join("/".join(map(str, name)) for name in list(file.arrays)[:2]) or "no weights"
    raise ValueError(f"{file.path}: a {file.kind} of no known network ({example}); use a file of {model.name}")


def _without_numbers(arrays: files.Arrays, targets: dict) -> files.Arrays:
    weights = collections.defaultdict(list)
    for layer, weight in targets:
        weights[layer].append(weight)
    positions = {(layer, i): (layer, weight) for layer in weights for i, weight in enumerate(weights[layer])}
    return {positions.get(name, name): array for name, array in arrays.items()}


def _classes(weights: dict) -> int | None:
    kernel = weights.get((HEAD, "kernel"))
    return None if kernel is None else kernel.shape[-1]


def _check(file: files.WeightFile, model: keras.Model, translation: Translation, targets: dict, wanted: dict) -> None:
    """Raises ValueError unless the file has every target weight in its shape and belongs to this network."""
    arrays = translation.arrays

    def refuse(names: list[files.Name], what: str, detail: str = "") -> None:
        if names:
            layer, weight = names[0]
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ValueError(
                f"{file.path}: {what} {layer}/{weight}{detail}{more}; use a file of {model.name}, or build the model "
                "that the file is of" + (f", with {translation.options}" if translation.options else "")
            )

    layers = {layer for layer, _ in targets}
    last_stage = max(map(_stage, layers)) if is_backbone(model) else math.inf  # it may end before the network does
    # A larger variant of the same family has all our layers in our shapes, and further blocks.
    strange = [
        (layer, weight)
        for layer, weight in arrays
        if (layer, weight) not in targets and (layer in layers or _BLOCK.search(layer)) and _stage(layer) <= last_stage
    ]
    misshapen = [name for name in wanted if name in arrays and arrays[name].shape != tuple(wanted[name].shape)]
    refuse([name for name in wanted if name not in arrays], f"lacks weights of {model.name}:")
    refuse(strange, f"has weights that {model.name} lacks:")
    if misshapen:
        found, expected = arrays[misshapen[0]].shape, tuple(wanted[misshapen[0]].shape)
        refuse(misshapen, "wrong shape of", f" (the file has {found}, {model.name} expects {expected})")
    if translation.misfit:
        raise ValueError(f"{file.path}: {translation.misfit}; build the model with {translation.options}")


def _stage(layer: str) -> int:
    """The number of the stage that a layer belongs to; 0 outside of stages, or if its name does not contain it."""
    match = _STAGE.match(layer)
    if match is None:
        return 0
    kind, number = match.groups()
    return int(number) + (kind == "layer")  # torchvision's layer1 is conv2_x

"""The registry of networks and backbones by name."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras

from tf_models.arguments import require
from tf_models.deep_graphs import deep_graphs

Builder = Callable[..., keras.Model]


@dataclasses.dataclass(frozen=True)
class Classifier:
    """An image classifier in two parts, built as one flat functional model.

    Attributes:
        backbone: takes `input_shape`, further options and `name`; returns a functional model whose output is a dict of
            feature maps in order of level, {"C1": .., "C2": .., ..}.
        head: takes the last feature map (positional-only) and options; returns logits. Options that both parts have
            are passed to both.
    """

    backbone: Builder
    head: Callable[..., keras.KerasTensor]

    def __call__(self, **options: Any) -> keras.Model:
        of_backbone, of_head = (
            {option: value for option, value in options.items() if option in _options(part)}
            for part in (self.backbone, self.head)
        )
        backbone = self.backbone(**of_backbone)
        *_, last = backbone.output.values()
        return keras.Model(backbone.input, self.head(last, **of_head), name=backbone.name)


_builders: dict[str, Builder] = {}


def register_model(builder: Builder) -> Builder:
    """Registers `builder` with `build_model` under its own name; its keyword arguments are the model's options."""
    _register(builder.__name__, builder)
    return builder


def register_classifier(name: str, backbone: Builder, head: Callable[..., keras.KerasTensor]) -> None:
    """Registers a network with `build_model` and `build_backbone`; arguments as for `Classifier`."""
    _register(name, Classifier(functools.partial(backbone, name=name), head))


def _register(name: str, builder: Builder) -> None:
    if name in _builders:
        raise ValueError(f"{name!r} is registered already")
    _builders[name] = builder


def list_models() -> list[str]:
    """Returns the sorted names of the networks of `build_model`."""
    return sorted(_builders)


def list_backbones() -> list[str]:
    """Returns the sorted names of the networks of `build_backbone`."""
    return sorted(name for name, builder in _builders.items() if isinstance(builder, Classifier))


def build_model(name: str, **options: Any) -> keras.Model:
    """Builds a functional model that maps normalised images to logits.

    Args:
        name: one of `list_models()`.
        **options: the builder's arguments. Every image model takes `num_classes` and `input_shape`
            (height, width, channels; height and width may be None). Defaults are the paper's values.

    Raises:
        ValueError: the name or an option is unknown (the message suggests near ones), or a value is not allowed.
    """
    if name not in _builders:
        raise ValueError(f"name={name!r}: no such model. {_near(name, list_models())}")
    return _build(name, _builders[name], options)


def build_backbone(
    name: str,
    *,
    input_shape: tuple[int | None, int | None, int],
    features: Sequence[str] | None = None,
    **options: Any,
) -> keras.Model:
    """Builds a classifier without its head: a functional model that maps normalised images to feature maps.

    The output is a dict {"C2": [batch, height / 4, width / 4, channels], ..}. The feature map of level l has stride
    2^l (exactly, if height and width are multiples of it) and the compute dtype. The docstring of each network's module
    defines its levels. Layers and weights equal those of `build_model` with the same options, so `load_weights` reads
    the same files.

    Args:
        name: one of `list_backbones()`.
        input_shape: (height, width, channels) of the images; height and width may be None.
        features: levels of the output, such as ("C3", "C4", "C5"); all by default. Layers after the last level are
            not built.
        **options: the network's options that concern its backbone.

    Raises:
        ValueError: the name, a level or an option is unknown, or a value is not allowed.
    """
    if name not in list_backbones():
        raise ValueError(f"name={name!r}: no such backbone. {_near(name, list_backbones())}")
    whole = _build(name, _builders[name].backbone, {"input_shape": input_shape, **options})
    if features is None:
        return whole
    levels = whole.output
    are_known = not isinstance(features, str) and len(features) > 0 and all(level in levels for level in features)
    require(are_known, "features", features, f"a sequence of levels of {name}, which has {', '.join(levels)}")
    with deep_graphs():
        return keras.Model(whole.input, {level: levels[level] for level in levels if level in features}, name=name)


def _build(name: str, builder: Builder, options: dict[str, Any]) -> keras.Model:
    allowed = _options(builder)
    for option in options:
        if option not in allowed:
            raise ValueError(f"{option}={options[option]!r}: {name} has no such option. {_near(option, allowed)}")
    with deep_graphs():
        return builder(**options)


def _options(builder: Callable) -> list[str]:
    """Returns the names of the arguments that a recipe may set."""
    if isinstance(builder, Classifier):
        return list(dict.fromkeys([*_options(builder.backbone), *_options(builder.head)]))
    parameters = inspect.signature(builder).parameters.values()
    return [p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY and p.name != "name"]


def _near(word: str, known: Iterable[str]) -> str:
    """Names the entries of `known` that resemble `word`; all of them if none does."""
    known = sorted(known)
    matches = difflib.get_close_matches(str(word), known, n=4, cutoff=0.6)
    return f"Near: {', '.join(matches)}." if matches else f"Known: {', '.join(known)}."

"""Models by name: one place that knows every builder, so that a recipe can say a name and options, nothing more."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import keras

from tf_models.deep_graphs import deep_graphs

_builders: dict[str, Callable[..., keras.Model]] = {}


def register_model(builder: Callable[..., keras.Model]) -> Callable[..., keras.Model]:
    """Makes `builder` known to `build_model` under its own name; its keyword arguments are the model's options."""
    name = builder.__name__
    if name in _builders:
        raise ValueError(f"register_model: {name!r} is registered already, by {_builders[name].__module__}")
    _builders[name] = builder
    return builder


def list_models() -> list[str]:
    """Returns the names that `build_model` takes, sorted."""
    return sorted(_builders)


def build_model(name: str, **options: Any) -> keras.Model:
    """Builds a functional model that maps normalised images to logits.

    Args:
        name: one of `list_models()`.
        **options: the builder's own arguments. Every image model takes `num_classes` and `input_shape`
            (height, width, channels; height and width may be None); what is left out has the paper's value.

    Raises:
        ValueError: an unknown name or option (the nearest ones are named), or a value that the builder refuses.
    """
    if name not in _builders:
        raise ValueError(f"name={name!r}: no such model. {_near(name, _builders)}")
    builder = _builders[name]
    allowed = [option for option in inspect.signature(builder).parameters if option != "name"]
    for option in options:
        if option not in allowed:
            raise ValueError(f"{option}={options[option]!r}: {name} has no such option. {_near(option, allowed)}")
    with deep_graphs():
        return builder(**options)


def _near(word: str, known: Iterable[str]) -> str:
    """Says which of `known` look like `word`; all of them if none does."""
    known = sorted(known)
    matches = difflib.get_close_matches(str(word), known, n=4, cutoff=0.6)
    return f"Near: {', '.join(matches)}." if matches else f"Known: {', '.join(known)}."

"""Selects layers by name, to skip or freeze them as a recipe's `init` says."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

import keras

from flags.errors import UserError
from flags.recipe import Init
from trainers.run.load import load_external


def freeze(model: keras.Model, init: Init) -> None:
    """Makes the layers of `init.frozen` untrainable. Frozen batch norms use their moving statistics.

    Raises:
        UserError: a pattern matches no layer, or no trainable weights remain.
    """
    for layer in matching(model, init.frozen, "init.frozen"):
        layer.trainable = False
    if not model.trainable_variables:
        raise UserError(f"init.frozen={','.join(init.frozen)}: no trainable weights remain. Freeze fewer layers.")


def initialise(model: keras.Model, init: Init) -> list[str]:
    """Loads the weights of `init.path` into all layers except `init.skip`; returns lines that describe the result.

    Raises:
        UserError: the file cannot be read or belongs to another model, or a pattern matches no layer.
    """
    skipped = [(layer, layer.get_weights()) for layer in matching(model, init.skip, "init.skip")]
    loaded = load_external(model, init.path)
    for layer, weights in skipped:
        layer.set_weights(weights)
    names = [layer.name for layer, weights in skipped if weights]
    return [*str(loaded).splitlines(), *([f"kept as initialised: {', '.join(names)}"] if names else [])]


def matching(model: keras.Model, patterns: Sequence[str], field: str) -> list[keras.Layer]:
    """Returns the layers whose names match one of the patterns.

    Raises:
        UserError: a pattern matches no layer.
    """
    chosen = []
    for pattern in patterns:
        found = [layer for layer in model.layers if fnmatch.fnmatchcase(layer.name, pattern)]
        if not found:
            names = [layer.name for layer in model.layers if layer.weights]
            shown = ", ".join(names if len(names) < 12 else [*names[:6], "...", *names[-6:]])
            raise UserError(f"{field}={pattern}: no layer of {model.name} has that name. Layers: {shown}.")
        chosen += found
    return chosen

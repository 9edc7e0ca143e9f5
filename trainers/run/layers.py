"""Layers of a model by name: which of them a recipe's `init` skips or freezes."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

import keras

import tf_models
from flags.errors import UserError
from flags.recipe import Init


def freeze(model: keras.Model, init: Init) -> None:
    """Makes the layers of `init.frozen` untrainable. Their batch norms use their moving statistics.

    Raises:
        UserError: a pattern matches no layer, or nothing is left to train.
    """
    for layer in matching(model, init.frozen, "init.frozen"):
        layer.trainable = False
    if not model.trainable_variables:
        raise UserError(f"init.frozen={','.join(init.frozen)}: nothing is left to train. Freeze fewer layers.")


def initialise(model: keras.Model, init: Init) -> list[str]:
    """Loads the weights of `init.path` into all layers but those of `init.skip`; returns lines on what was loaded.

    Raises:
        UserError: the file cannot be read or is of another model, or a pattern matches no layer.
    """
    skipped = [(layer, layer.get_weights()) for layer in matching(model, init.skip, "init.skip")]
    try:
        loaded = tf_models.load_weights(model, init.path)
    except (ValueError, OSError) as error:
        raise UserError(f"--init_from: {error}") from error
    for layer, weights in skipped:
        layer.set_weights(weights)
    names = [layer.name for layer, weights in skipped if weights]
    return [*str(loaded).splitlines(), *([f"kept as initialised: {', '.join(names)}"] if names else [])]


def matching(model: keras.Model, patterns: Sequence[str], field: str) -> list[keras.Layer]:
    """The layers whose names match one of the patterns.

    Raises:
        UserError: a pattern matches none.
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

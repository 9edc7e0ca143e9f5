"""Selects the weights that weight decay applies to."""

from __future__ import annotations

import keras

RULES = ("kernels", "outside_batch_norm", "all")


def decayed(model: keras.Model, rule: str) -> list[bool]:
    """Returns, for each of the model's trainable variables, whether weight decay applies to it.

    Args:
        rule: "kernels" of convolutions and dense layers, all weights "outside_batch_norm", or "all".
    """
    if rule not in RULES:
        raise ValueError(f"decay rule {rule!r}: must be one of {', '.join(RULES)}")
    norms = {
        weight.path
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
        for weight in layer.weights
    }
    variables = model.trainable_variables
    if rule == "kernels":
        return [variable.path.endswith("kernel") for variable in variables]
    return [rule == "all" or variable.path not in norms for variable in variables]

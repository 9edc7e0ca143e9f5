"""What Keras lacks among optimizers: fused updates, TensorFlow 1's RMSProp, the papers' schedules, weight averages."""

from __future__ import annotations

import keras

from flags.recipe import Momentum, RMSProp
from trainers.optimizers.momentum import FusedSGD
from trainers.optimizers.rmsprop import RMSPropTF1


def build_optimizer(
    recipe: RMSProp | Momentum, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """The optimizer of a recipe. Weight decay is not in it: the loop adds the papers' coupled L2 to the gradients."""
    if isinstance(recipe, Momentum):
        return FusedSGD(learning_rate=learning_rate, momentum=recipe.momentum, nesterov=recipe.nesterov, name="sgd")
    return RMSPropTF1(
        learning_rate=learning_rate, rho=recipe.decay, momentum=recipe.momentum, epsilon=recipe.epsilon, name="rmsprop"
    )

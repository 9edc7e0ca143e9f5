"""What Keras lacks among optimizers: TensorFlow 1's RMSProp, the papers' schedules, weight averages, loss scaling."""

from __future__ import annotations

import keras

from flags.recipe import RMSProp
from trainers.optimizers.rmsprop import RMSPropTF1


def build_optimizer(
    recipe: RMSProp, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """The optimizer of a recipe. Weight decay is not in it: the loop adds the papers' coupled L2 to the gradients."""
    return RMSPropTF1(
        learning_rate=learning_rate, rho=recipe.decay, momentum=recipe.momentum, epsilon=recipe.epsilon, name="rmsprop"
    )

"""What Keras lacks among optimizers: fused updates, the papers' RMSProp, LAMB and schedules, weight averages."""

from __future__ import annotations

import keras

from flags.optimization import Adam, Lamb, LayerwiseSGD, LeastSquares, Momentum, RMSProp
from trainers.optimizers.adam import FusedAdam
from trainers.optimizers.lamb import LambMinTrust
from trainers.optimizers.layerwise import FusedLayerwiseSGD
from trainers.optimizers.momentum import FusedSGD
from trainers.optimizers.rmsprop import RMSPropTF1


def build_optimizer(
    recipe: RMSProp | Momentum | Adam | LayerwiseSGD | Lamb | LeastSquares,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
) -> keras.optimizers.Optimizer:
    """The optimizer of a recipe. The papers' coupled L2 is not in it: the loop adds that to the gradients."""
    if isinstance(recipe, Lamb):
        return LambMinTrust(
            learning_rate=learning_rate,
            beta_1=recipe.beta_1,
            beta_2=recipe.beta_2,
            epsilon=recipe.epsilon,
            min_trust=recipe.min_trust,
            max_weight_norm=recipe.max_weight_norm,
            decay=recipe.weight_decay,
            name="lamb",
        )
    if isinstance(recipe, Adam):
        return FusedAdam(
            learning_rate=learning_rate,
            beta_1=recipe.beta_1,
            beta_2=recipe.beta_2,
            epsilon=recipe.epsilon,
            name="adam",
        )
    if isinstance(recipe, LayerwiseSGD):
        return FusedLayerwiseSGD(recipe.factors, learning_rate=learning_rate, name="sgd")
    if isinstance(recipe, LeastSquares):  # it takes no steps, but counts whether the head is solved
        return FusedSGD(learning_rate=learning_rate, name="sgd")
    if isinstance(recipe, Momentum):
        return FusedSGD(learning_rate=learning_rate, momentum=recipe.momentum, nesterov=recipe.nesterov, name="sgd")
    return RMSPropTF1(
        learning_rate=learning_rate, rho=recipe.decay, momentum=recipe.momentum, epsilon=recipe.epsilon, name="rmsprop"
    )

"""Optimizers that Keras lacks: fused updates, the papers' RMSProp, LAMB and schedules, weight averages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from flags import optimization
from flags import schedules as rates
from flags.optimization import Optimizer
from trainers.optimizers.adam import FusedAdam
from trainers.optimizers.drops import DynamicDropRate, StepwiseRate
from trainers.optimizers.lamb import LambMinTrust
from trainers.optimizers.layerwise import FusedLayerwiseSGD
from trainers.optimizers.momentum import FusedSGD
from trainers.optimizers.rmsprop import RMSPropTF1
from trainers.optimizers.schedules import (
    ConstantRate,
    CosineRate,
    InverseSquareRootRate,
    Schedule,
    WarmedExponential,
    WarmUpInverseSquareRootRate,
    WarmUpRate,
)

Rate = float | keras.optimizers.schedules.LearningRateSchedule


def _rmsprop(recipe: optimization.RMSProp, lr: Rate, restart: int | None) -> RMSPropTF1:
    return RMSPropTF1(
        learning_rate=lr, rho=recipe.decay, momentum=recipe.momentum, epsilon=recipe.epsilon, name="rmsprop"
    )


def _momentum(recipe: optimization.Momentum, lr: Rate, restart: int | None) -> FusedSGD:
    return FusedSGD(learning_rate=lr, momentum=recipe.momentum, nesterov=recipe.nesterov, name="sgd")


def _layerwise_sgd(recipe: optimization.LayerwiseSGD, lr: Rate, restart: int | None) -> FusedLayerwiseSGD:
    return FusedLayerwiseSGD(recipe.factors, learning_rate=lr, name="sgd")


def _adam(recipe: optimization.Adam, lr: Rate, restart: int | None) -> FusedAdam:
    return FusedAdam(
        learning_rate=lr,
        beta_1=recipe.beta_1,
        beta_2=recipe.beta_2,
        epsilon=recipe.epsilon,
        restart=restart,
        name="adam",
    )


def _lamb(recipe: optimization.Lamb, lr: Rate, restart: int | None) -> LambMinTrust:
    return LambMinTrust(
        learning_rate=lr,
        beta_1=recipe.beta_1,
        beta_2=recipe.beta_2,
        epsilon=recipe.epsilon,
        min_trust=recipe.min_trust,
        max_weight_norm=recipe.max_weight_norm,
        decay=recipe.weight_decay,
        name="lamb",
    )


_BUILDERS: dict[type[Optimizer], Callable[..., keras.optimizers.Optimizer]] = {
    optimization.RMSProp: _rmsprop,
    optimization.Momentum: _momentum,
    optimization.LayerwiseSGD: _layerwise_sgd,
    optimization.Adam: _adam,
    optimization.Lamb: _lamb,
}


def build_optimizer(
    recipe: Optimizer, learning_rate: Rate, *, restart: int | None = None
) -> keras.optimizers.Optimizer:
    """Builds the optimizer of a recipe, without the papers' coupled L2, which the loop adds to the gradients.

    Every optimizer has `reset()` (`trainers.optimizers.reset`).

    Args:
        restart: number of updates before a second pass, where `reset` will be called; None: no second pass.

    Raises:
        TypeError: the recipe's type is unknown.
    """
    if type(recipe) not in _BUILDERS:
        raise TypeError(f"no optimizer is made for {type(recipe).__name__}")
    return _BUILDERS[type(recipe)](recipe, learning_rate, restart)


class Run(NamedTuple):
    """The properties of a run that schedules depend on."""

    global_batch: int
    steps_per_epoch: float
    total_steps: int
    second_pass_step: int | None


def _exponential(recipe: rates.Exponential, run: Run) -> WarmedExponential:
    return WarmedExponential(
        lr=recipe.lr_per_256 * run.global_batch / 256,
        decay_rate=recipe.decay_rate,
        decay_steps=recipe.decay_epochs * run.steps_per_epoch,
        warmup_steps=int(round(recipe.warmup_epochs * run.steps_per_epoch, 6)),  # 0.29 * 100 is 28.999... in float64
        staircase=recipe.staircase,
    )


_RATES: dict[type, Callable[[Any, Run], Schedule]] = {
    rates.Constant: lambda recipe, run: ConstantRate(recipe),
    rates.Cosine: lambda recipe, run: CosineRate(recipe, run.total_steps),
    rates.Exponential: _exponential,
    rates.Stepwise: lambda recipe, run: StepwiseRate(recipe),
    rates.WarmUp: lambda recipe, run: WarmUpRate(recipe, run.second_pass_step),
    rates.InverseSquareRoot: lambda recipe, run: InverseSquareRootRate(recipe),
    rates.WarmUpInverseSquareRoot: lambda recipe, run: WarmUpInverseSquareRootRate(recipe),
    rates.DynamicDrop: lambda recipe, run: DynamicDropRate(recipe),
}


def build_schedule(
    recipe: rates.Schedule,
    *,
    global_batch: int,
    steps_per_epoch: float,
    total_steps: int,
    second_pass_step: int | None = None,
) -> Schedule:
    """Builds the schedule of a recipe for one run. Call it in the strategy's scope: schedules may have variables.

    Args:
        steps_per_epoch: examples / global_batch. It may be fractional, as in EfficientNet's official code: there
            350 epochs of 1,281,167 images at batch 4096 are 109,474 steps, and boundaries fall between steps.
        total_steps: steps of the run.
        second_pass_step: number of updates before the second pass of a `WarmUp`; None: no second pass.

    Raises:
        TypeError: the recipe's type is unknown.
    """
    if type(recipe) not in _RATES:
        raise TypeError(f"no schedule is made for {type(recipe).__name__}")
    return _RATES[type(recipe)](recipe, Run(global_batch, steps_per_epoch, total_steps, second_pass_step))

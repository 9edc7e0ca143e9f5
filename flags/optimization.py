"""How an experiment is optimised: the optimizers and learning rate schedules of the papers."""

from __future__ import annotations

import dataclasses
from typing import Literal

from flags.errors import require


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
    """What all optimizers have: weight decay, which is the coupled L2 of the papers unless a subclass says otherwise.

    By it the loss gains `l2` * sum(w^2) / 2. `decayed` are the weights of that sum: kernels of convolutions and dense
    layers; every trainable weight outside batch norm; or all.
    """

    weight_decay: float
    decayed: Literal["kernels", "outside_batch_norm", "all"] = "outside_batch_norm"

    def __post_init__(self) -> None:
        require(self.weight_decay >= 0, f"optimizer.weight_decay={self.weight_decay}: must be 0 or more")

    @property
    def l2(self) -> float:
        """The coefficient of the loss's L2 term: 0 where weight decay is part of the optimizer's own update."""
        return self.weight_decay


@dataclasses.dataclass(frozen=True, kw_only=True)
class RMSProp(Optimizer):
    """RMSProp as TensorFlow 1 has it: mean square starts at 1, epsilon inside the root, momentum on lr-scaled steps."""

    decay: float
    momentum: float
    epsilon: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.decay < 1, f"optimizer.decay={self.decay}: must lie in [0, 1)")
        require(0 <= self.momentum < 1, f"optimizer.momentum={self.momentum}: must lie in [0, 1)")
        require(self.epsilon > 0, f"optimizer.epsilon={self.epsilon}: must be positive")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Momentum(Optimizer):
    """SGD with momentum: velocity = momentum * velocity + lr * gradient, weight = weight - velocity."""

    momentum: float
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.momentum < 1, f"optimizer.momentum={self.momentum}: must lie in [0, 1)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerwiseSGD(Optimizer):
    """SGD, weight = weight - factor * lr * gradient, with a factor for each layer that has weights, in order."""

    factors: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            len(self.factors) > 0 and min(self.factors, default=0) > 0,
            f"optimizer.factors={self.factors}: takes positive numbers, one for each layer",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015) with bias correction; epsilon outside the root."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("beta_1", "beta_2"):
            value = getattr(self, field)
            require(0 <= value < 1, f"optimizer.{field}={value}: must lie in [0, 1)")
        require(self.epsilon > 0, f"optimizer.epsilon={self.epsilon}: must be positive")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lamb(Optimizer):
    """LAMB with a least trust (SHA-RNN, section 6.3): moments without bias correction, decay inside the update.

    The update of a tensor, u = m / (sqrt(v) + epsilon) + weight_decay * w, is multiplied by the rate and by its trust
    ratio, min(|w|, max_weight_norm) / |u|, or `min_trust` where that is larger.
    """

    beta_1: float
    beta_2: float
    epsilon: float
    min_trust: float
    max_weight_norm: float
    decayed: Literal["all"] = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("beta_1", "beta_2"):
            value = getattr(self, field)
            require(0 <= value < 1, f"optimizer.{field}={value}: must lie in [0, 1)")
        for field in ("epsilon", "max_weight_norm"):
            value = getattr(self, field)
            require(value > 0, f"optimizer.{field}={value}: must be positive")
        require(self.min_trust >= 0, f"optimizer.min_trust={self.min_trust}: must be 0 or more")

    @property
    def l2(self) -> float:
        return 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeastSquares(Optimizer):
    """No steps: the linear head on fixed features is solved for, exactly, in float64.

    The solution is that of least norm; with `weight_decay` l > 0 that of |y - Xw|^2 + l |w|^2.
    """

    weight_decay: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exponential:
    """lr = lr_per_256 * global_batch / 256 * decay_rate ** (epoch / decay_epochs), linear warm-up from 0.

    `epoch` is step / `Train.steps_per_epoch`, a real number. With `staircase` the exponent is rounded down. The decay
    counts from step 0, not from the end of the warm-up, which lasts int(warmup_epochs * steps_per_epoch) steps.
    """

    lr_per_256: float
    decay_rate: float
    decay_epochs: float
    warmup_epochs: float
    staircase: bool = True

    def __post_init__(self) -> None:
        require(self.lr_per_256 > 0, f"schedule.lr_per_256={self.lr_per_256}: must be positive")
        require(0 < self.decay_rate <= 1, f"schedule.decay_rate={self.decay_rate}: must lie in (0, 1]")
        require(self.decay_epochs > 0, f"schedule.decay_epochs={self.decay_epochs}: must be positive")
        require(self.warmup_epochs >= 0, f"schedule.warmup_epochs={self.warmup_epochs}: must be 0 or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stepwise:
    """A constant rate that is multiplied by `factor` a few times.

    That happens after as many updates as `boundaries` say; or, with `drops` "plateau", as often as there are
    boundaries, each time that `patience` evaluations in a row have not brought the validation top-1 up by
    `min_improvement` (a fraction). With `warmup_lr` the run begins at that rate instead and stays there until the
    training error of 100 updates is below `warmup_error`. The rate does not follow the batch.
    """

    lr: float
    boundaries: tuple[int, ...]
    factor: float = 0.1
    drops: Literal["boundaries", "plateau"] = "boundaries"
    patience: int = 5
    min_improvement: float = 0.001
    warmup_lr: float | None = None
    warmup_error: float = 0.8

    def __post_init__(self) -> None:
        require(self.lr > 0, f"schedule.lr={self.lr}: must be positive")
        require(
            self.warmup_lr is None or self.warmup_lr > 0,
            f"schedule.warmup_lr={self.warmup_lr}: must be positive, or none",
        )
        require(0 < self.factor < 1, f"schedule.factor={self.factor}: must lie in (0, 1)")
        require(self.patience >= 1, f"schedule.patience={self.patience}: must be 1 or more")
        require(self.min_improvement >= 0, f"schedule.min_improvement={self.min_improvement}: must be 0 or more")
        require(0 < self.warmup_error <= 1, f"schedule.warmup_error={self.warmup_error}: must lie in (0, 1]")
        require(
            list(self.boundaries) == sorted({b for b in self.boundaries if b > 0}),
            f"schedule.boundaries={self.boundaries}: must be numbers of updates, each larger than the one before",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmUp:
    """A constant rate after a linear warm-up: update s, counted from 1, has lr * min(s, warmup_steps) / warmup_steps.

    With `cooldown_steps` c the factor of `lr` is less by clip((s - c) / c, 0, 1).
    The last `second_pass_epochs` of `Train.epochs` begin again from the best weights so far, with a new optimizer
    state, at second_pass_factor * lr, and with s counted anew.
    """

    lr: float
    warmup_steps: int  # 1: none
    cooldown_steps: int | None = None
    second_pass_epochs: float = 0.0
    second_pass_factor: float = 0.5

    def __post_init__(self) -> None:
        for field in ("lr", "second_pass_factor"):
            value = getattr(self, field)
            require(value > 0, f"schedule.{field}={value}: must be positive")
        require(self.warmup_steps >= 1, f"schedule.warmup_steps={self.warmup_steps}: must be 1 (no warm-up) or more")
        cooldown, epochs = self.cooldown_steps, self.second_pass_epochs
        require(cooldown is None or cooldown >= 1, f"schedule.cooldown_steps={cooldown}: must be 1 or more, or none")
        require(epochs >= 0, f"schedule.second_pass_epochs={epochs}: must be 0 (no second pass) or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class InverseSquareRoot:
    """lr(t) = lr / sqrt(1 + floor(t / period)), t = updates so far (Deep Double Descent, appendix)."""

    lr: float
    period: int = 512  # in updates

    def __post_init__(self) -> None:
        require(self.lr > 0, f"schedule.lr={self.lr}: must be positive")
        require(self.period >= 1, f"schedule.period={self.period}: must be 1 or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DynamicDrop:
    """A rate that is multiplied by `factor` each time the training loss has not improved for `patience` updates.

    The losses that are compared are means over `window` updates: a single batch's may be the lowest by chance.
    """

    lr: float
    factor: float = 0.1
    patience: int = 4096
    window: int = 512

    def __post_init__(self) -> None:
        require(self.lr > 0, f"schedule.lr={self.lr}: must be positive")
        require(0 < self.factor < 1, f"schedule.factor={self.factor}: must lie in (0, 1)")
        require(self.window >= 1, f"schedule.window={self.window}: must be 1 or more")
        require(
            self.patience >= self.window,
            f"schedule.patience={self.patience}: must be schedule.window={self.window} updates or more",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmUpInverseSquareRoot:
    """Update s, counted from 1, has lr * min(s / w, sqrt(w / s)), w = warmup_steps (Vaswani et al. 2017, 5.3)."""

    lr: float | None  # the largest, at the end of the warm-up; none: the source's, 1 / sqrt(model.d_model * w)
    warmup_steps: int

    def __post_init__(self) -> None:
        require(self.lr is None or self.lr > 0, f"schedule.lr={self.lr}: must be positive, or none")
        require(self.warmup_steps >= 1, f"schedule.warmup_steps={self.warmup_steps}: must be 1 or more")

    def of_width(self, d_model: int) -> WarmUpInverseSquareRoot:
        """The same with the source's rate for that width in place of none: d_model^-0.5 min(s^-0.5, s w^-1.5)."""
        return dataclasses.replace(self, lr=(d_model * self.warmup_steps) ** -0.5) if self.lr is None else self

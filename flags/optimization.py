"""The papers' optimizers. `--set=optimizer=NAME` selects one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar, Literal

from flags import tasks
from flags.errors import require
from flags.ranges import BelowOne, Group, NotNegative, Positive

if TYPE_CHECKING:
    from flags.recipe import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer(Group):
    """Base class of all optimizers, with weight decay: the papers' coupled L2 unless a subclass says otherwise.

    Coupled L2 adds `l2` * sum(w^2) / 2 to the loss. `decayed` selects the weights of that sum: kernels of convolutions
    and dense layers; every trainable weight outside batch norm; or all.
    """

    group: ClassVar[str] = "optimizer"
    kind: ClassVar[str]  # the name in `--set=optimizer=NAME`

    weight_decay: NotNegative = 0.0
    decayed: Literal["kernels", "outside_batch_norm", "all"] = "outside_batch_norm"

    @property
    def l2(self) -> float:
        """The coefficient of the loss's L2 term: 0 where weight decay is part of the optimizer's own update."""
        return self.weight_decay

    def check(self, experiment: Experiment) -> None:
        """Raises UserError if the optimizer does not fit the rest of the recipe."""
        require(
            not tasks.get(experiment.task).is_closed_form,
            f"optimizer={self.kind}: {experiment.name} solves for its weights in closed form. Remove this setting.",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RMSProp(Optimizer):
    """TensorFlow 1's RMSProp: mean square starts at 1, epsilon inside the root, momentum on lr-scaled steps.

    Defaults are those of EfficientNet (Tan & Le 2019, section 5.2, and the authors' code).
    """

    kind: ClassVar[str] = "rmsprop"

    decay: BelowOne = 0.9
    momentum: BelowOne = 0.9
    epsilon: Positive = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Momentum(Optimizer):
    """SGD with momentum: velocity = momentum * velocity + lr * gradient, weight = weight - velocity.

    The default is ResNet's (He et al. 2016, section 3.4).
    """

    kind: ClassVar[str] = "momentum"

    momentum: BelowOne = 0.9
    nesterov: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerwiseSGD(Optimizer):
    """SGD, weight = weight - factor * lr * gradient, with a factor for each layer that has weights, in order."""

    kind: ClassVar[str] = "layerwise_sgd"

    factors: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            len(self.factors) > 0 and min(self.factors, default=0) > 0,
            f"optimizer.factors={self.factors}: takes positive numbers, one per layer",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """Adam with bias correction; epsilon outside the root. Defaults are those of Kingma & Ba (2015, Algorithm 1)."""

    kind: ClassVar[str] = "adam"

    beta_1: BelowOne = 0.9
    beta_2: BelowOne = 0.999
    epsilon: Positive = 1e-8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lamb(Optimizer):
    """LAMB with a minimum trust ratio (SHA-RNN, section 6.3): no bias correction, weight decay inside the update.

    A tensor's update, u = m / (sqrt(v) + epsilon) + weight_decay * w, is multiplied by the learning rate and by the
    trust ratio max(min_trust, min(|w|, max_weight_norm) / |u|). Defaults are those of the author's code.
    """

    kind: ClassVar[str] = "lamb"

    beta_1: BelowOne = 0.9
    beta_2: BelowOne = 0.999
    epsilon: Positive = 1e-6
    min_trust: NotNegative = 0.25
    max_weight_norm: Positive = 10.0
    decayed: Literal["all"] = "all"

    @property
    def l2(self) -> float:
        return 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeastSquares(Optimizer):
    """No optimizer: the linear head on fixed features is solved in closed form, in float64.

    The solution is the minimum-norm one; with `weight_decay` l > 0 it minimises |y - Xw|^2 + l |w|^2.
    """

    kind: ClassVar[str] = "closed_form"

    def check(self, experiment: Experiment) -> None:
        require(
            tasks.get(experiment.task).is_closed_form,
            f"optimizer={self.kind}: {experiment.name} is trained step by step. Choose another optimizer.",
        )
        require(
            not experiment.init.frozen,
            f"init.frozen={','.join(experiment.init.frozen)}: only the head is solved for; all other layers are fixed. "
            "Remove it.",
        )
        for field, value in (("crop", "none"), ("flip", False)):
            given = getattr(experiment.data, field, value)
            require(
                given == value,
                f"data.{field}={str(given).lower()}: the head is solved in one step, on images without augmentation. "
                f"Set {str(value).lower()}.",
            )


OPTIMIZERS = {kind.kind: kind for kind in (RMSProp, Momentum, LayerwiseSGD, Adam, Lamb)}

"""SGD with a learning rate per layer."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from flags.errors import UserError
from trainers.optimizers.momentum import FusedSGD


@keras.saving.register_keras_serializable(package="trainers")
class FusedLayerwiseSGD(FusedSGD):
    """`FusedSGD` without momentum; the learning rate of a layer's weights is multiplied by the layer's factor.

    Args:
        factors: one number per layer with weights, in the model's order.
    """

    def __init__(self, factors: Sequence[float], **kwargs):
        super().__init__(**kwargs)
        self.factors = tuple(factors)

    def build(self, variables):
        """Raises UserError if the number of factors differs from the number of layers."""
        super().build(variables)
        owners = [variable.path.rpartition("/")[0] for variable in variables]
        layers = list(dict.fromkeys(owners))
        if len(layers) != len(self.factors):
            raise UserError(
                f"optimizer.factors={','.join(map(str, self.factors))}: must be {len(layers)} numbers, one for each "
                f"layer: {', '.join(layers)}"
            )
        self._factor_of = {v.path: self.factors[layers.index(owner)] for v, owner in zip(variables, owners)}

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate * self._factor_of[variable.path])

    def get_config(self):
        return {**super().get_config(), "factors": self.factors}

"""Everything a run needs to go on, in one object that is saved and restored whole."""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from trainers.loop.stateful import StatefulModel
from trainers.optimizers.loss_scale import LossScale
from trainers.optimizers.schedules import Schedule
from trainers.optimizers.weight_average import WeightAverage


@dataclasses.dataclass(frozen=True)
class TrainState:
    """The variables of a run. The step is the optimizer's counter: data, learning rate and noise follow from it."""

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    schedule: Schedule
    average: WeightAverage | None
    loss_scale: LossScale | None
    carried: StatefulModel | None = None  # of a model whose state goes on from step to step

    @property
    def network(self) -> keras.Model | StatefulModel:
        """What a task applies to a batch."""
        return self.carried or self.model

    @property
    def step(self) -> tf.Variable:
        return self.optimizer.iterations

    @property
    def statistics(self) -> list[keras.Variable]:
        """What training changes in the model outside the gradient: the moving statistics of batch norm."""
        return self.model.non_trainable_weights

    def variables(self) -> dict[str, tf.Variable]:
        """Every variable by a stable name, for the checkpoint."""
        named = {f"model/{v.path}": v for v in self.model.weights}
        named |= {f"optimizer/{v.path}": v for v in self.optimizer.variables}
        if self.average is not None:
            named |= {f"average/{v.path}": a for v, a in zip(self.average.averaged, self.average.variables)}
        named |= {f"schedule/{v.name}": v for v in self.schedule.variables}
        if self.loss_scale is not None:
            named |= {f"loss_scale/{v.name}": v for v in self.loss_scale.variables}
        if self.carried is not None:
            named |= {f"carried/{name}": v for name, v in self.carried.variables().items()}
        return named

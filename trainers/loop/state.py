"""The complete training state, saved and restored as one object."""

from __future__ import annotations

import contextlib
import dataclasses

import keras
import tensorflow as tf

from trainers.loop.stateful import StatefulModel
from trainers.optimizers.loss_scale import LossScale
from trainers.optimizers.schedules import Schedule
from trainers.optimizers.weight_average import WeightAverage


@dataclasses.dataclass(frozen=True)
class TrainState:
    """The variables of a run. Data, learning rate and noise of a step are functions of its number."""

    model: keras.Model
    optimizer: keras.optimizers.Optimizer | None  # None: a fit in closed form
    schedule: Schedule | None
    average: WeightAverage | None = None
    loss_scale: LossScale | None = None
    stateful: StatefulModel | None = None  # wraps a model that carries state from step to step
    solved: tf.Variable | None = None  # counts the one step of a fit in closed form

    @property
    def network(self) -> keras.Model | StatefulModel:
        """The callable that a task applies to a batch."""
        return self.stateful or self.model

    @property
    def step(self) -> tf.Variable:
        """The number of steps taken (the optimizer's counter)."""
        return self.solved if self.optimizer is None else self.optimizer.iterations

    @property
    def statistics(self) -> list[keras.Variable]:
        """The weights that training changes without gradients: batch norm's moving statistics."""
        frozen = {weight.path for layer in self.model.layers if not layer.trainable for weight in layer.weights}
        return [weight for weight in self.model.non_trainable_weights if weight.path not in frozen]

    def averaged(self) -> contextlib.AbstractContextManager:
        """Context in which the model has the averaged weights."""
        return contextlib.nullcontext() if self.average is None else self.average.swapped()

    def variables(self) -> dict[str, tf.Variable]:
        """Every variable by a stable name, for the checkpoint."""
        named = {f"model/{v.path}": v for v in self.model.weights}
        if self.optimizer is None:
            named["optimizer/sgd/iteration"] = self.solved  # the name used by existing checkpoints
        else:
            named |= {f"optimizer/{v.path}": v for v in self.optimizer.variables}
            named |= {f"schedule/{v.name}": v for v in self.schedule.variables}
        if self.average is not None:
            named |= {f"average/{v.path}": a for v, a in zip(self.average.averaged, self.average.variables)}
        if self.loss_scale is not None:
            named |= {f"loss_scale/{v.name}": v for v in self.loss_scale.variables}
        if self.stateful is not None:
            named |= {f"carried/{name}": v for name, v in self.stateful.variables().items()}
        return named

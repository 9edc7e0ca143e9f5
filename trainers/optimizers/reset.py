"""Optimizers whose state can be reset, for a second pass over the data."""

from __future__ import annotations

import keras
import tensorflow as tf


class Resettable:
    """Mixin for a Keras optimizer.

    Attributes:
        initial: prefix of a slot's name -> its initial value, if that is not 0.
    """

    initial: dict[str, float] = {}

    def reset(self) -> None:
        """Resets every slot to its initial value and keeps `iterations`. Call it outside `strategy.run`."""
        for slot in slots_of(self):
            name = slot.path.rpartition("/")[2]
            value = next((value for start, value in self.initial.items() if start in name), 0.0)
            slot.assign(tf.fill(slot.shape, tf.cast(value, slot.dtype)))


def slots_of(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """The slot variables of an optimizer."""
    return [v for v in optimizer.variables if v.path.rpartition("/")[2] not in ("iteration", "learning_rate")]

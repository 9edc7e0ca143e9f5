"""Optimizers that can forget what they have seen, for a second pass over the data."""

from __future__ import annotations

import keras
import tensorflow as tf


class Resettable:
    """Mixed into a Keras optimizer.

    Attributes:
        initial: by which a slot's name begins -> its first value, where that is not 0.
    """

    initial: dict[str, float] = {}

    def reset(self) -> None:
        """Puts every slot back to its first value and keeps `iterations`; outside `strategy.run`."""
        for slot in slots_of(self):
            name = slot.path.rpartition("/")[2]
            value = next((value for start, value in self.initial.items() if start in name), 0.0)
            slot.assign(tf.fill(slot.shape, tf.cast(value, slot.dtype)))


def slots_of(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """What an optimizer remembers of its variables' gradients."""
    return [v for v in optimizer.variables if v.path.rpartition("/")[2] not in ("iteration", "learning_rate")]

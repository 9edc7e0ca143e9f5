"""A language model together with the state that it carries from segment to segment.

Lanes are split over the replicas; each replica keeps the state of its lanes on its device, without communication. For a
checkpoint the lanes are gathered, so that it does not depend on the number of replicas.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_models.state import empty_state


class StatefulModel:
    """Wraps `model` so that each call continues from the state of the last. Create it in the strategy's scope.

    Args:
        model: maps {"tokens", "state"} to {..., "state"} (`tf_models.sha_rnn`).
        lanes: number of lanes over all replicas.
    """

    def __init__(self, strategy: tf.distribute.Strategy, model: keras.Model, lanes: int):
        self._strategy = strategy
        self.model = model
        self._share = lanes // strategy.num_replicas_in_sync
        self._state = {
            name: tf.Variable(zeros, trainable=False, name=name, synchronization=tf.VariableSynchronization.ON_READ)
            for name, zeros in empty_state(model, self._share).items()
        }
        self._lanes = lanes
        self._saved: dict[str, tf.Variable] | None = None

    def __call__(self, tokens: tf.Tensor, is_first: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Returns the outputs for this replica's tokens [lanes, time]; `is_first` [lanes] resets a lane's state."""
        state = {name: tf.identity(part) for name, part in self._state.items()}
        # A memory without rows is empty, whatever values it contains.
        state |= {name: _reset(part, is_first) for name, part in state.items() if not name.endswith("_memory")}
        outputs = self.model({"tokens": tokens, "state": state}, training=training)
        for name, part in outputs["state"].items():
            self._state[name].assign(tf.stop_gradient(tf.cast(part, self._state[name].dtype)))
        return outputs

    @tf.function
    def clear(self) -> None:
        """Sets the state to zero: `is_first` multiplies by 0 and so cannot remove NaN."""
        self._strategy.run(lambda: [part.assign(tf.zeros_like(part)) for part in self._state.values()])

    def variables(self) -> dict[str, tf.Variable]:
        """The state as saved in a checkpoint, [lanes, ...] on the host. `gather` before saving, `scatter` after."""
        if self._saved is None:
            with tf.device("cpu:0"):
                self._saved = {
                    name: tf.Variable(zeros, trainable=False)
                    for name, zeros in empty_state(self.model, self._lanes).items()
                }
        return self._saved

    def gather(self) -> None:
        """Copies the state of all replicas to `variables`; every worker of a cluster must call it."""
        for name, part in self._gathered().items():
            self.variables()[name].assign(part)

    def scatter(self) -> None:
        """Copies each replica's lanes from `variables` to its state."""

        def share(context):
            first = context.replica_id_in_sync_group * self._share
            return {name: saved[first : first + self._share] for name, saved in self.variables().items()}

        self._assign(self._strategy.experimental_distribute_values_from_function(share))

    @tf.function
    def _gathered(self):
        held = self._strategy.run(lambda: {name: tf.identity(part) for name, part in self._state.items()})
        return {name: self._strategy.gather(part, axis=0) for name, part in held.items()}

    @tf.function
    def _assign(self, state):
        self._strategy.run(lambda parts: [self._state[name].assign(part) for name, part in parts.items()], (state,))


def _reset(part: tf.Tensor, is_first: tf.Tensor) -> tf.Tensor:
    """Keeps the state [lanes, ...] of continuing lanes, and sets that of new lanes to zero."""
    goes_on = tf.cast(~is_first, part.dtype)
    return part * tf.reshape(goes_on, [-1] + [1] * (part.shape.rank - 1))

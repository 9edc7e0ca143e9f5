"""SGD with momentum in one pass over memory; Keras's SGD takes four."""

from __future__ import annotations

import keras
import tensorflow as tf

from trainers.optimizers.reset import Resettable


@keras.saving.register_keras_serializable(package="trainers")
class FusedSGD(Resettable, keras.optimizers.SGD):
    """A fused `keras.optimizers.SGD`: the same arguments and results, with the learning rate inside the velocity.

        velocity = momentum * velocity - lr * gradient
        variable = variable + velocity                            (Nesterov: + momentum * velocity - lr * gradient)

    A sparse gradient is applied as a dense one.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Updates `variable`, a Keras or TensorFlow variable, in a replica or in `tf.distribute`'s update context."""
        dtype = tf.as_dtype(variable.dtype)
        gradient = tf.cast(tf.convert_to_tensor(gradient), dtype)
        learning_rate = tf.cast(learning_rate, dtype)
        if not self.momentum:
            tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=learning_rate, delta=gradient)
            return
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=self.momentums[self._get_variable_index(variable)].handle,
            lr=learning_rate,
            grad=gradient,
            momentum=tf.constant(self.momentum, dtype),
            use_nesterov=self.nesterov,
        )

"""Adam in one pass over memory, to PyTorch's formula."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="trainers")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam`, fused, with the arguments of that and the numbers of PyTorch's.

        m = beta_1 m + (1 - beta_1) gradient,  v = beta_2 v + (1 - beta_2) gradient^2
        variable -= lr * (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon),  t = updates, with this one

    Keras's adds epsilon before v is corrected, so that in the first steps it weighs more. A sparse gradient is applied
    as a dense one.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Updates `variable`, a Keras or TensorFlow variable, in a replica or in `tf.distribute`'s update context."""
        dtype = tf.as_dtype(variable.dtype)
        index = self._get_variable_index(variable)
        updates = tf.cast(self.iterations + 1, tf.float64)
        beta_1, beta_2 = tf.constant(self.beta_1, tf.float64), tf.constant(self.beta_2, tf.float64)
        # The kernel's epsilon stands where Keras's does: beside sqrt(v), not beside the corrected root.
        epsilon = self.epsilon * tf.sqrt(1 - beta_2**updates)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            beta1_power=tf.cast(beta_1**updates, dtype),
            beta2_power=tf.cast(beta_2**updates, dtype),
            lr=tf.cast(learning_rate, dtype),
            beta1=tf.cast(beta_1, dtype),
            beta2=tf.cast(beta_2, dtype),
            epsilon=tf.cast(epsilon, dtype),
            grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
        )

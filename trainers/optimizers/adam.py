"""Adam in one pass over memory, to PyTorch's formula."""

from __future__ import annotations

import keras
import tensorflow as tf

from trainers.optimizers.reset import Resettable


@keras.saving.register_keras_serializable(package="trainers")
class FusedAdam(Resettable, keras.optimizers.Adam):
    """`keras.optimizers.Adam`, fused, with the formula and the defaults of PyTorch's, which the paper used.

        m = beta_1 m + (1 - beta_1) gradient,  v = beta_2 v + (1 - beta_2) gradient^2
        variable -= lr * (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon),  t = updates, with this one

    Keras's adds epsilon before v is corrected, so that in the first steps it weighs more. It takes Keras's arguments
    except `amsgrad`. A sparse gradient is applied as a dense one.

    Args:
        restart: t counts anew after so many updates, where a second pass resets the moments; None: there is none.
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-8, restart=None, **kwargs):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad=False, **kwargs)
        self.restart = restart

    def update_step(self, gradient, variable, learning_rate):
        """Updates `variable`, a Keras or TensorFlow variable, in a replica or in `tf.distribute`'s update context."""
        index = self._get_variable_index(variable)
        dtype = tf.as_dtype(variable.dtype)
        beta_1, beta_2 = tf.constant(self.beta_1, dtype), tf.constant(self.beta_2, dtype)
        # In float64: 1 - 0.999^t keeps few digits of float32. The powers are of the betas as rounded in the moments.
        done = tf.convert_to_tensor(self.iterations)
        if self.restart is not None:
            done = tf.where(done >= self.restart, done - self.restart, done)
        updates = tf.cast(done, tf.float64) + 1
        root = tf.sqrt(1 - tf.cast(beta_2, tf.float64) ** updates)
        rate = tf.cast(learning_rate, tf.float64) * root / (1 - tf.cast(beta_1, tf.float64) ** updates)
        # The kernel divides by sqrt(v) + its epsilon; with powers of 0 it corrects nothing itself.
        zero = tf.zeros([], dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            beta1_power=zero,
            beta2_power=zero,
            lr=tf.cast(rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon * root, dtype),
            grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
        )

    def get_config(self):
        config = super().get_config()
        del config["amsgrad"]
        return config | {"restart": self.restart}

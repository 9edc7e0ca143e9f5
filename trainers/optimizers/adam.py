"""Adam in one pass over memory, with PyTorch's formula."""

from __future__ import annotations

import keras
import tensorflow as tf

from trainers.optimizers.reset import Resettable


@keras.saving.register_keras_serializable(package="trainers")
class FusedAdam(Resettable, keras.optimizers.Adam):
    """A fused `keras.optimizers.Adam` with the formula and defaults of PyTorch, which the paper used.

        m = beta_1 m + (1 - beta_1) gradient,  v = beta_2 v + (1 - beta_2) gradient^2
        variable -= lr * (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon),  t = updates including this one

    Keras adds epsilon before correcting v, which gives it more weight in the first steps. The arguments are Keras's
    except `amsgrad`. A sparse gradient is applied as a dense one.

    Args:
        restart: updates after which t restarts, since a second pass resets the moments; None: no second pass.
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-8, restart=None, **kwargs):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad=False, **kwargs)
        self.restart = restart

    def update_step(self, gradient, variable, learning_rate):
        """Updates `variable`, a Keras or TensorFlow variable, in a replica or in `tf.distribute`'s update context."""
        index = self._get_variable_index(variable)
        dtype = tf.as_dtype(variable.dtype)
        beta_1, beta_2 = tf.constant(self.beta_1, dtype), tf.constant(self.beta_2, dtype)
        # In float64, because 1 - 0.999^t loses digits in float32. The betas are rounded as in the moments.
        done = tf.convert_to_tensor(self.iterations)
        if self.restart is not None:
            done = tf.where(done >= self.restart, done - self.restart, done)
        updates = tf.cast(done, tf.float64) + 1
        root = tf.sqrt(1 - tf.cast(beta_2, tf.float64) ** updates)
        rate = tf.cast(learning_rate, tf.float64) * root / (1 - tf.cast(beta_1, tf.float64) ** updates)
        # The kernel divides by sqrt(v) + its epsilon; with powers of 0 it applies no bias correction.
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

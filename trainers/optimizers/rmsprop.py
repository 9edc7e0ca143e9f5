"""TensorFlow 1's RMSProp, with which EfficientNet's recipe was tuned.

Keras starts the mean square at 0, TensorFlow 1 at 1. The first step for a gradient of 0.1 at learning rate 0.256, decay
0.9 and epsilon 0.001 is 0.572 in Keras and 0.027 in TensorFlow 1.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from trainers.optimizers.reset import Resettable


@keras.saving.register_keras_serializable(package="trainers")
class RMSPropTF1(Resettable, keras.optimizers.RMSprop):
    """RMSProp whose mean square starts at 1, with epsilon inside the root and momentum on lr-scaled steps.

        mean_square = rho * mean_square + (1 - rho) * gradient^2
        step        = momentum * step + lr * gradient / sqrt(mean_square + epsilon)
        variable    = variable - step

    One fused kernel computes the update in one pass over memory (CPU, GPU, XLA). The arguments are those of
    `keras.optimizers.RMSprop` except `centered`. A sparse gradient is applied as a dense one.
    """

    initial = {"mean_square": 1.0}

    def __init__(self, learning_rate=0.001, rho=0.9, momentum=0.9, epsilon=1e-3, **kwargs):
        super().__init__(learning_rate=learning_rate, rho=rho, momentum=momentum, epsilon=epsilon, **kwargs)

    def build(self, variables):
        if self.built:
            return
        # Skip Keras's RMSprop.build, which creates other slots: mean squares of 0, and steps only with momentum.
        super(keras.optimizers.RMSprop, self).build(variables)
        self._mean_squares = self.add_optimizer_variables(variables, "mean_square", initializer="ones")
        self._steps = self.add_optimizer_variables(variables, "step", initializer="zeros")

    def update_step(self, gradient, variable, learning_rate):
        """Updates `variable`, a Keras or TensorFlow variable, in a replica or in `tf.distribute`'s update context."""
        index = self._get_variable_index(variable)
        dtype = tf.as_dtype(variable.dtype)
        tf.raw_ops.ResourceApplyRMSProp(
            var=variable.handle,
            ms=self._mean_squares[index].handle,
            mom=self._steps[index].handle,
            lr=tf.cast(learning_rate, dtype),
            rho=tf.constant(self.rho, dtype),
            momentum=tf.constant(self.momentum, dtype),
            epsilon=tf.constant(self.epsilon, dtype),
            grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
        )

    def get_config(self):
        config = super().get_config()
        del config["centered"]
        return config

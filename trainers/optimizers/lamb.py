"""LAMB with a least trust, which SHA-RNN was trained with (section 6.3).

Keras's `Lamb` is another rule: it corrects the moments' bias, has no cut of the weight's norm and no floor under the
trust ratio, and its weight decay stands outside of the ratio. At SHA-RNN's start the floor holds for every matrix.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from trainers.optimizers.reset import Resettable


@keras.saving.register_keras_serializable(package="trainers")
class LambMinTrust(Resettable, keras.optimizers.Optimizer):
    """LAMB without bias correction, with decay in the update and a trust ratio that has a floor and no ceiling.

        m      = beta_1 * m + (1 - beta_1) * gradient
        v      = beta_2 * v + (1 - beta_2) * gradient^2
        update = m / (sqrt(v) + epsilon) + decay * w
        trust  = max(min_trust, min(|w|, max_weight_norm) / |update|)          (1 in place of the ratio if either is 0)
        w      = w - lr * trust * update

    |.| is the L2 norm of a whole tensor; every tensor is decayed, biases and layer norms too. A sparse gradient is
    applied as a dense one.

    Args:
        decay: not called `weight_decay`, which Keras would apply once more, outside of the ratio.
    """

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-6,
        min_trust=0.25,
        max_weight_norm=10.0,
        decay=0.0,
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.min_trust = min_trust
        self.max_weight_norm = max_weight_norm
        self.decay = decay

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._m, self._v = self.add_optimizer_variables(variables, ["m", "v"])

    def update_step(self, gradient, variable, learning_rate):
        """Updates `variable`, a Keras or TensorFlow variable, in a replica or in `tf.distribute`'s update context."""
        index = self._get_variable_index(variable)
        m, v = self._m[index], self._v[index]
        dtype = tf.as_dtype(variable.dtype)
        zero = tf.zeros([], dtype)
        # Adam at rate 0 moves m and v alone, in one pass over memory.
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=m.handle,
            v=v.handle,
            beta1_power=zero,
            beta2_power=zero,
            lr=zero,
            beta1=tf.constant(self.beta_1, dtype),
            beta2=tf.constant(self.beta_2, dtype),
            epsilon=tf.constant(self.epsilon, dtype),
            grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
        )
        weight, m, v = (tf.convert_to_tensor(each) for each in (variable, m, v))
        update = m / (tf.sqrt(v) + self.epsilon) + self.decay * weight
        rate = tf.cast(tf.convert_to_tensor(learning_rate, dtype_hint=dtype), dtype) * self.trust_ratio(weight, update)
        tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=rate, delta=update)

    def trust_ratio(self, weight: tf.Tensor, update: tf.Tensor) -> tf.Tensor:
        """What the learning rate is multiplied by for one tensor: [], in the tensor's type."""
        weight_norm = tf.minimum(_norm(weight), self.max_weight_norm)
        update_norm = _norm(update)
        both = (weight_norm > 0) & (update_norm > 0)
        return tf.maximum(tf.where(both, weight_norm / update_norm, 1.0), self.min_trust)

    def get_config(self):
        return super().get_config() | {
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "min_trust": self.min_trust,
            "max_weight_norm": self.max_weight_norm,
            "decay": self.decay,
        }


def _norm(tensor: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(2 * tf.nn.l2_loss(tensor))  # without a tensor of squares

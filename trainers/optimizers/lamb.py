"""LAMB with a minimum trust ratio, the optimizer of SHA-RNN (section 6.3).

Keras's `Lamb` differs: it has bias correction, does not clip the weight norm, has no lower bound on the trust ratio,
and applies weight decay outside the ratio. At the start of SHA-RNN's training the bound is active for every matrix.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from trainers.optimizers.reset import Resettable


@keras.saving.register_keras_serializable(package="trainers")
class LambMinTrust(Resettable, keras.optimizers.Optimizer):
    """LAMB without bias correction, with decay inside the update and a lower but no upper bound on the trust ratio.

        m      = beta_1 * m + (1 - beta_1) * gradient
        v      = beta_2 * v + (1 - beta_2) * gradient^2
        update = m / (sqrt(v) + epsilon) + decay * w
        trust  = max(min_trust, min(|w|, max_weight_norm) / |update|)          (the ratio is 1 if either norm is 0)
        w      = w - lr * trust * update

    |.| is the L2 norm of a whole tensor; every tensor is decayed, including biases and layer norms. A sparse gradient
    is applied as a dense one.

    Args:
        decay: not named `weight_decay`, which Keras would apply again, outside the ratio.
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
        # Adam at rate 0 updates only m and v, in one pass over memory.
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
        """The factor of the learning rate for one tensor: [], in the tensor's dtype."""
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
    return tf.sqrt(2 * tf.nn.l2_loss(tensor))  # does not allocate a tensor of squares

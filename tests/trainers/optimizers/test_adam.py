"""FusedAdam against its rule in NumPy, and where it leaves Keras's Adam."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from flags.optimization import Adam
from trainers.optimizers import build_optimizer
from trainers.optimizers.adam import FusedAdam

# Keras rounds its numbers to float32: these it does not change.
LR = 0.125
BETAS = {"beta_1": 0.875, "beta_2": 1 - 2.0**-10}


def numpy_steps(gradients, epsilon):
    """The weights after every step from 0, in float64."""
    m = v = weight = 0.0
    weights = []
    for t, gradient in enumerate(np.asarray(gradients, "float64"), start=1):
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        weight = weight - LR * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + epsilon)
        weights.append(weight)
    return np.array(weights)


def our_steps(gradients, optimizer, wrap=lambda step: step):
    variable = keras.Variable(np.zeros(gradients[0].shape), dtype=gradients.dtype.name)
    optimizer.build([variable])
    step = wrap(lambda gradient: optimizer.apply_gradients([(gradient, variable)]))
    weights = []
    for gradient in gradients:
        step(tf.constant(gradient))
        weights.append(variable.numpy())
    return np.array(weights)


def draw(shape=(16, 5), steps=20):
    """Gradients from 1e-7 to 0.1: below an epsilon of 1e-4 and far above it."""
    random = np.random.default_rng(0)
    return np.stack([size * random.normal(size=shape) for size in np.logspace(-7, -1, steps)])


@pytest.mark.parametrize("epsilon", [1e-8, 1e-4])
@pytest.mark.parametrize("shape", [(), (7,), (16, 5), (3, 3, 4, 2)], ids=str)
def test_twenty_steps_follow_the_rule(shape, epsilon):
    gradients = draw(shape)
    ours = our_steps(gradients, FusedAdam(LR, epsilon=epsilon))
    np.testing.assert_allclose(ours, numpy_steps(gradients, epsilon), rtol=1e-11, atol=1e-11 * LR)


def test_float32_steps_are_those_of_float64_rounded():
    gradients = draw().astype("float32")
    ours = our_steps(gradients, FusedAdam(LR))
    assert ours.dtype == np.float32
    # Powers of beta_2 that were rounded to float32 would be off by 2e-5 of a step.
    np.testing.assert_allclose(ours, numpy_steps(gradients, 1e-8), rtol=1e-6, atol=1e-6 * LR)


def test_without_epsilon_the_steps_are_those_of_keras_adam():
    gradients = draw()
    ours, keras_own = (
        our_steps(gradients, optimizer(LR, epsilon=0.0, **BETAS)) for optimizer in (FusedAdam, keras.optimizers.Adam)
    )
    np.testing.assert_allclose(ours, keras_own, rtol=1e-11)


def test_epsilon_stands_beside_the_corrected_root_where_keras_has_it_beside_the_other():
    gradients = np.full((1, 3), 1e-4)
    ours, keras_own = (
        our_steps(gradients, optimizer(LR, epsilon=1e-4, **BETAS)) for optimizer in (FusedAdam, keras.optimizers.Adam)
    )
    np.testing.assert_allclose(ours, -LR / 2, rtol=1e-7)
    np.testing.assert_allclose(keras_own, -LR / (1 + 2.0**5), rtol=1e-7)  # beside v = 2^-10 gradient^2


@pytest.mark.parametrize("jit_compile", [False, True])
def test_steps_in_a_tf_function_equal_eager_steps(jit_compile):
    gradients = draw((4, 3))
    compiled = our_steps(gradients, FusedAdam(LR), wrap=lambda step: tf.function(step, jit_compile=jit_compile))
    np.testing.assert_allclose(compiled, our_steps(gradients, FusedAdam(LR)), rtol=1e-12)


def test_after_1_564_000_updates_nothing_is_left_to_correct():
    variable = keras.Variable([0.0])
    optimizer = FusedAdam(LR)
    optimizer.build([variable])
    optimizer.iterations.assign(1_563_999)
    optimizer.update_step(tf.constant([0.5]), variable, LR)
    np.testing.assert_allclose(variable.numpy(), -LR * 0.1 / 0.001**0.5, rtol=1e-4)  # 1 - 0.999 in float32


def test_amsgrad_is_refused():
    with pytest.raises(TypeError, match="amsgrad"):
        FusedAdam(amsgrad=True)


def test_a_recipe_builds_it_without_decay_of_its_own():
    optimizer = build_optimizer(Adam(beta_1=0.8, beta_2=0.99, epsilon=1e-5, weight_decay=1e-4), 0.25)
    assert isinstance(optimizer, FusedAdam) and float(optimizer.learning_rate) == 0.25
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.8, 0.99, 1e-5)
    assert optimizer.weight_decay is None

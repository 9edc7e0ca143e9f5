"""FusedSGD against Keras's own SGD, in the same precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from flags.optimization import Momentum
from trainers.optimizers import build_optimizer
from trainers.optimizers.momentum import FusedSGD


def history(optimizer, gradients):
    variable = keras.Variable(np.ones(gradients[0].shape), dtype=gradients[0].dtype.name)
    seen = []
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
        seen.append(variable.numpy())
    return seen


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("shape", [(), (7,), (3, 3, 4, 2)], ids=str)
def test_ten_steps_equal_keras(shape, momentum, nesterov):
    if nesterov and not momentum:
        pytest.skip("Keras refuses it")
    random = np.random.default_rng(0)
    gradients = [np.asarray(random.normal(size=shape), "float64") for _ in range(10)]
    # Keras rounds its numbers to float32: these it does not change.
    ours = history(FusedSGD(0.125, momentum=momentum, nesterov=nesterov), gradients)
    keras_own = history(keras.optimizers.SGD(0.125, momentum=momentum, nesterov=nesterov), gradients)
    np.testing.assert_allclose(ours, keras_own, rtol=1e-12)


def test_velocity_holds_the_learning_rate():
    # Section 7.1 of the recipe: after the rate falls, what was gathered at the old rate is spent as it is.
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([0], [1.0, 0.1])
    seen = history(FusedSGD(rate, momentum=0.5), [np.array(1.0), np.array(0.0), np.array(0.0)])
    np.testing.assert_allclose(seen, [0.0, -0.5, -0.75])


def test_a_recipe_builds_it():
    optimizer = build_optimizer(Momentum(momentum=0.9, weight_decay=1e-4), 0.1)
    assert isinstance(optimizer, FusedSGD)
    assert (optimizer.momentum, optimizer.nesterov, optimizer.weight_decay) == (0.9, False, None)

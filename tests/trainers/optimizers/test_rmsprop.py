"""RMSPropTF1 against TensorFlow 1's own optimizer, and where a training loop uses it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from flags.optimization import RMSProp
from trainers.optimizers import build_optimizer
from trainers.optimizers.rmsprop import RMSPropTF1

LR, RHO, EPSILON = 0.256, 0.9, 1e-3
SHAPES = [(), (7,), (3, 5), (3, 3, 4, 1)]


def draw_gradients(shape, dtype, steps=10):
    # Scales from 1e-6 to 10: where the mean square is mostly its initial 1, and where it is not.
    generator = np.random.default_rng(0)
    scales = np.logspace(-6, 1, steps)
    return [np.asarray(scale * generator.normal(size=shape), dtype) for scale in scales]


def run_tf1(initial, gradients, lr, rho, momentum, epsilon):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable("v", initializer=tf.constant(initial), use_resource=True)
        gradient = tf.compat.v1.placeholder(initial.dtype, initial.shape)
        optimizer = tf.compat.v1.train.RMSPropOptimizer(lr, rho, momentum, epsilon)
        train = optimizer.apply_gradients([(gradient, variable)])
        session.run(tf.compat.v1.global_variables_initializer())
        history = []
        for value in gradients:
            session.run(train, {gradient: value})
            history.append(session.run(variable))
        return history


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_ten_steps_equal_tensorflow_1s_optimizer(shape, dtype, momentum):
    numbers = {"lr": LR, "rho": RHO, "momentum": momentum, "epsilon": EPSILON}
    if dtype == "float64":  # TensorFlow 1 rounds them to float32 first; numbers that it does not change:
        numbers = {name: float(np.float32(number)) for name, number in numbers.items()}
    initial = np.ones(shape, dtype)
    gradients = draw_gradients(shape, dtype)
    history = run_tf1(initial, gradients, **numbers)

    variable = keras.Variable(initial, dtype=dtype)
    optimizer = RMSPropTF1(numbers.pop("lr"), **numbers)
    for gradient, expected in zip(gradients, history, strict=True):
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
        np.testing.assert_array_equal(variable.numpy(), expected)


def test_first_step_starts_from_a_mean_square_of_one():
    variable = keras.Variable(0.0)
    RMSPropTF1(LR, rho=RHO, epsilon=EPSILON).apply_gradients([(tf.constant(0.1), variable)])
    expected = LR * 0.1 / np.sqrt(RHO * 1 + (1 - RHO) * 0.1**2 + EPSILON)
    assert variable.numpy() == pytest.approx(-expected, rel=1e-6)
    assert expected == pytest.approx(0.027, abs=5e-4)


def take_steps(gradients, wrap):
    variable = keras.Variable(np.ones_like(gradients[0]))
    optimizer = RMSPropTF1(LR)
    optimizer.build([variable])
    step = wrap(lambda gradient: optimizer.apply_gradients([(gradient, variable)]))
    for gradient in gradients:
        step(tf.constant(gradient))
    return variable.numpy()


def test_steps_in_a_tf_function_equal_eager_steps():
    gradients = draw_gradients((4, 3), "float32")
    np.testing.assert_array_equal(take_steps(gradients, tf.function), take_steps(gradients, lambda step: step))


def test_steps_compiled_by_xla_equal_eager_steps():
    gradients = draw_gradients((4, 3), "float32")
    compiled = take_steps(gradients, lambda step: tf.function(step, jit_compile=True))
    # XLA may round a product and a sum once where the kernel rounds twice.
    np.testing.assert_allclose(compiled, take_steps(gradients, lambda step: step), rtol=1e-5)


def test_the_recipe_becomes_an_optimizer_without_weight_decay():
    recipe = RMSProp(decay=0.8, momentum=0.7, epsilon=0.1, weight_decay=1e-5)
    optimizer = build_optimizer(recipe, 0.25)
    assert isinstance(optimizer, RMSPropTF1)
    assert (optimizer.rho, optimizer.momentum, optimizer.epsilon) == (0.8, 0.7, 0.1)
    assert optimizer.weight_decay is None

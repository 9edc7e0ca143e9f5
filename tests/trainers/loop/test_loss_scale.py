"""Dynamic loss scaling: when the factor moves, and that replicas agree."""

import numpy as np
import pytest
import tensorflow as tf

from trainers.optimizers.loss_scale import LossScale


def factor(loss_scale):
    return float(loss_scale.scale(tf.constant(1.0)))


def test_factor_doubles_after_enough_good_steps_in_a_row():
    loss_scale = LossScale(initial=8, growth_steps=3)
    factors = []
    for _ in range(7):
        loss_scale.update(tf.constant(True))
        factors.append(factor(loss_scale))
    assert factors == [8, 8, 16, 16, 16, 32, 32]


def test_an_overflow_halves_the_factor_and_starts_the_count_again():
    loss_scale = LossScale(initial=8, growth_steps=3)
    factors = []
    for finite in (True, True, False, True, True, True):
        loss_scale.update(tf.constant(finite))
        factors.append(factor(loss_scale))
    assert factors == [8, 8, 4, 4, 4, 8]


def test_factor_never_falls_below_one():
    loss_scale = LossScale(initial=2)
    for _ in range(3):
        loss_scale.update(tf.constant(False))
    assert factor(loss_scale) == 1


def test_growth_takes_2000_steps_unless_said_otherwise():
    loss_scale = LossScale()
    update = tf.function(loss_scale.update)
    for _ in range(1999):
        update(tf.constant(True))
    assert factor(loss_scale) == 2.0**15
    update(tf.constant(True))
    assert factor(loss_scale) == 2.0**16


def test_a_float16_loss_is_scaled_without_overflow():
    scaled = LossScale(initial=2.0**15).scale(tf.constant(7.0, tf.float16))
    assert scaled.dtype == tf.float32
    assert float(scaled) == 7 * 2.0**15


def test_unscaled_gradients_are_those_of_the_plain_loss():
    loss_scale = LossScale(initial=2.0**10)
    x = tf.Variable([1.0, -2.0, 0.1])
    unused = tf.Variable(1.0)
    with tf.GradientTape(persistent=True) as tape:
        loss = tf.reduce_sum(x**3)
        scaled = loss_scale.scale(loss)
    gradient, none = loss_scale.unscale(tape.gradient(scaled, [x, unused]))
    np.testing.assert_array_equal(gradient, tape.gradient(loss, x))  # exact: the factor is a power of two
    assert none is None


def test_scaling_keeps_a_gradient_that_float16_would_lose():
    loss_scale = LossScale(initial=2.0**15)

    def gradient(scale):
        x = tf.Variable(1.0)
        with tf.GradientTape() as tape:
            half = tf.cast(x, tf.float16) * 1e-4
            loss = scale(tf.cast(half, tf.float32) * 1e-5)
        return tape.gradient(loss, x)

    assert float(gradient(lambda loss: loss)) == 0
    assert float(loss_scale.unscale([gradient(loss_scale.scale)])[0]) == pytest.approx(1e-9, rel=1e-2)


@pytest.mark.parametrize("context", ["replica", "cross-replica"])
def test_replicas_keep_one_factor(two_replicas, context):
    with two_replicas.scope():
        loss_scale = LossScale(initial=8, growth_steps=2)

    @tf.function
    def step(finite):
        if context == "replica":
            two_replicas.run(loss_scale.update, (finite,))
        else:
            loss_scale.update(finite)
        return two_replicas.run(lambda: loss_scale.scale(tf.constant(1.0)))

    for finite, expected in ((True, 8), (True, 16), (False, 8)):
        scaled = two_replicas.experimental_local_results(step(tf.constant(finite)))
        assert [float(x) for x in scaled] == [expected, expected]
    assert [float(v.numpy()) for v in loss_scale.variables] == [8, 0]

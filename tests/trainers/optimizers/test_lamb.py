"""LambMinTrust against its rule in NumPy, where it leaves Keras's Lamb, and where a training loop uses it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from flags.optimization import Lamb
from trainers.optimizers import build_optimizer
from trainers.optimizers.lamb import LambMinTrust

LR, DECAY = 0.002, 1.2e-6


def numpy_steps(weight, gradients, lr=LR, decay=DECAY, floor=0.25, cut=10.0):
    """The weights after every step, and every step's trust ratio, in float64."""
    weight, m, v = np.array(weight, "float64"), 0.0, 0.0
    weights, ratios = [], []
    for gradient in np.asarray(gradients, "float64"):
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        update = m / (np.sqrt(v) + 1e-6) + decay * weight
        a, b = min(np.linalg.norm(weight), cut), np.linalg.norm(update)
        ratios.append(max(floor, 1.0 if a == 0 or b == 0 else a / b))
        weight = weight - lr * ratios[-1] * update
        weights.append(weight)
    return np.array(weights), np.array(ratios)


def our_steps(weight, gradients, wrap=lambda step: step, **arguments):
    variable = keras.Variable(weight, dtype=gradients.dtype.name)
    optimizer = LambMinTrust(**({"decay": DECAY} | arguments))
    optimizer.build([variable])
    step = wrap(lambda gradient: optimizer.update_step(gradient, variable, LR))
    weights = []
    for gradient in gradients:
        step(tf.constant(gradient))
        weights.append(variable.numpy())
    return np.array(weights)


def draw(shape, scale=1.0, steps=10):
    """A weight of that scale, and gradients from 1e-7 to 0.1: below epsilon and far above it."""
    random = np.random.default_rng(0)
    weight = np.asarray(scale * random.normal(size=shape))
    return weight, np.stack([size * random.normal(size=shape) for size in np.logspace(-7, -1, steps)])


@pytest.mark.parametrize("scale", [0.003, 1.0, 30.0])
@pytest.mark.parametrize("shape", [(), (7,), (16, 5), (3, 4, 2)], ids=str)
def test_ten_steps_follow_the_rule(shape, scale):
    weight, gradients = draw(shape, scale)
    expected, _ = numpy_steps(weight, gradients)
    np.testing.assert_allclose(our_steps(weight, gradients), expected, rtol=1e-12)


def test_the_drawn_steps_meet_the_floor_and_ratios_on_both_sides_of_one():
    ratios = np.concatenate([numpy_steps(*draw((16, 5), scale))[1] for scale in (0.003, 1.0, 30.0)])
    assert (ratios == 0.25).any() and ((ratios > 0.25) & (ratios < 1)).any() and (ratios > 1).any()


def test_float32_steps_are_those_of_float64_rounded():
    weight, gradients = draw((64, 32))
    ours = our_steps(weight, gradients.astype("float32"))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, numpy_steps(weight, gradients)[0], rtol=1e-5, atol=1e-6)


def test_a_tensor_of_zeros_starts_at_a_trust_of_one():
    _, gradients = draw((5,))
    expected, ratios = numpy_steps(np.zeros(5), gradients)
    assert ratios[0] == 1
    np.testing.assert_allclose(our_steps(np.zeros(5), gradients), expected, rtol=1e-12)


def test_without_a_gradient_only_decay_moves_a_weight():
    weight, gradients = np.array([3.0, 4.0]), np.zeros((3, 2))
    assert (our_steps(weight, gradients, decay=0.0) == weight).all()
    # The update is decay * w alone: its ratio undoes the decay, whatever that is.
    np.testing.assert_allclose(our_steps(weight, gradients)[0], weight * (1 - LR), rtol=1e-12)


@pytest.mark.parametrize(
    ("weight_norm", "update_norm", "ratio"),
    [
        (2.0, 4.0, 0.5),
        (2.0, 8.0, 0.25),
        (2.0, 100.0, 0.25),  # the floor
        (2.0, 0.01, 200.0),  # no ceiling
        (50.0, 20.0, 0.5),  # the norm is cut to 10
        (0.0, 4.0, 1.0),
        (2.0, 0.0, 1.0),
        (0.0, 0.0, 1.0),
    ],
)
def test_trust_ratio(weight_norm, update_norm, ratio):
    direction = tf.constant([[0.6, 0.0], [0.0, 0.8]], tf.float64)
    trust = LambMinTrust().trust_ratio(weight_norm * direction, update_norm * direction)
    assert float(trust) == pytest.approx(ratio, rel=1e-12)
    assert trust.dtype == tf.float64


def test_floor_and_cut_are_settings():
    weight, gradients = draw((16, 5), scale=30.0)
    expected, _ = numpy_steps(weight, gradients, floor=0.9, cut=20.0)
    ours = our_steps(weight, gradients, min_trust=0.9, max_weight_norm=20.0)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("norm", "ours", "keras_own"),
    [
        (5.0, 5.0, 5.0),  # neither floor nor cut: the norm of a first step is lr * |w| in both
        (50.0, 10.0, 50.0),  # cut
        (0.05, 0.25 * 0.1 / 0.001**0.5, 0.05),  # floor, under an update whose bias nobody corrected
    ],
)
def test_the_first_step_is_that_of_keras_lamb_only_between_floor_and_cut(norm, ours, keras_own):
    moved = []
    for optimizer in (LambMinTrust(0.5), keras.optimizers.Lamb(0.5)):
        variable = keras.Variable([norm])
        optimizer.apply_gradients([(tf.constant([10.0]), variable)])
        moved.append((norm - variable.numpy()[0]) / 0.5)
    assert moved == pytest.approx([ours, keras_own], rel=1e-4)


def test_without_floor_cut_and_decay_the_steps_are_those_of_keras_lamb():
    # Correcting the bias multiplies an update by a number, which falls out of the ratio: only the floor sees it.
    weight, gradients = draw((16, 5), scale=0.5)
    moved = []
    for optimizer in (LambMinTrust(LR, epsilon=0.0, min_trust=0.0), keras.optimizers.Lamb(LR, epsilon=0.0)):
        variable = keras.Variable(weight)
        for gradient in gradients.astype("float32"):
            optimizer.apply_gradients([(tf.constant(gradient), variable)])
        moved.append(variable.numpy() - weight)
    np.testing.assert_allclose(moved[0], moved[1], rtol=1e-3)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_steps_in_a_tf_function_equal_eager_steps(jit_compile):
    weight, gradients = draw((4, 3))
    compiled = our_steps(weight, gradients, wrap=lambda step: tf.function(step, jit_compile=jit_compile))
    np.testing.assert_allclose(compiled, our_steps(weight, gradients), rtol=1e-13)


def test_decay_acts_inside_the_ratio_alone():
    weight, gradients = draw((6,))
    variable, optimizer = keras.Variable(weight, dtype="float64"), LambMinTrust(LR, decay=0.1)
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
    lr = float(np.float32(LR))  # Keras keeps a rate in float32
    np.testing.assert_allclose(variable.numpy(), numpy_steps(weight, gradients, lr=lr, decay=0.1)[0][-1], rtol=1e-12)


def test_restored_variables_go_on_with_the_same_steps():
    weight, gradients = draw((4, 3))

    def begin():
        variable = keras.Variable(weight, dtype="float64")
        optimizer = LambMinTrust(LR, decay=DECAY)
        optimizer.build([variable])
        return optimizer, variable

    def go_on(optimizer, variable, gradients):
        for gradient in gradients:
            optimizer.apply_gradients([(tf.constant(gradient), variable)])
        return variable.numpy()

    optimizer, variable = begin()
    go_on(optimizer, variable, gradients[:6])
    restored, copy = begin()
    for new, saved in zip([copy, *restored.variables], [variable, *optimizer.variables], strict=True):
        new.assign(saved)
    np.testing.assert_array_equal(go_on(restored, copy, gradients[6:]), go_on(optimizer, variable, gradients[6:]))


def test_after_a_reset_it_steps_as_from_the_start_and_counts_on():
    weight, gradients = draw((4, 3))
    variable, optimizer = keras.Variable(weight, dtype="float64"), LambMinTrust(LR, decay=DECAY)
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
    optimizer.reset()
    assert int(optimizer.iterations) == 10
    variable.assign(weight)
    optimizer.update_step(tf.constant(gradients[0]), variable, LR)
    np.testing.assert_allclose(variable.numpy(), numpy_steps(weight, gradients[:1])[0][0], rtol=1e-12)


def test_a_reset_reaches_every_replica(two_replicas):
    with two_replicas.scope():
        variable = keras.Variable(np.ones(3, "float32"))
        optimizer = LambMinTrust(LR)
        optimizer.build([variable])
    two_replicas.run(tf.function(lambda: optimizer.update_step(tf.ones(3), variable, LR)))
    slots = [v for v in optimizer.variables if v.shape == variable.shape]
    values = [value for slot in slots for value in two_replicas.experimental_local_results(slot.value)]
    assert len(values) == 4 and all(value.numpy().all() for value in values)
    optimizer.reset()
    assert not any(value.numpy().any() for value in values)


def test_the_recipe_becomes_an_optimizer_that_decays_inside_the_update():
    recipe = Lamb(beta_1=0.8, beta_2=0.99, epsilon=1e-5, min_trust=0.1, max_weight_norm=5.0, weight_decay=1e-4)
    optimizer = build_optimizer(recipe, 0.25)
    assert isinstance(optimizer, LambMinTrust)
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.8, 0.99, 1e-5)
    assert (optimizer.min_trust, optimizer.max_weight_norm) == (0.1, 5.0)
    assert (optimizer.decay, optimizer.weight_decay) == (1e-4, None)

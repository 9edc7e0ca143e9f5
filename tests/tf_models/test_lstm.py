"""The LSTM layer against `keras.layers.LSTM` in float64: outputs, states and every gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_models.layers.lstm import LSTM

BATCH, INPUTS, UNITS = 3, 5, 4


def double(shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape))


def layers_alike():
    """Ours and Keras's with the same weights."""
    ours, theirs = (
        LSTM(UNITS, dtype="float64"),
        keras.layers.LSTM(UNITS, return_sequences=True, return_state=True, use_cudnn=False, dtype="float64"),
    )
    ours.build((BATCH, None, INPUTS), [(BATCH, UNITS)] * 2)
    theirs.build((BATCH, None, INPUTS))
    weights = [double(w.shape, seed).numpy() for seed, w in enumerate(theirs.weights)]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    return ours, theirs


def gradients(layer, call, inputs, state):
    """Of a sum that weighs every number of the outputs and of the last state differently."""
    with tf.GradientTape() as tape:
        watched = [inputs, *state]
        tape.watch(watched)
        outputs = call(inputs, state)
        total = tf.add_n([tf.reduce_sum(part * double(part.shape, 9)) for part in outputs])
    return outputs, tape.gradient(total, [*layer.trainable_weights, *watched])


@pytest.mark.parametrize("steps", [1, 2, 17])
def test_outputs_states_and_gradients_equal_kerass_from_any_state(steps):
    ours, theirs = layers_alike()
    inputs, state = double((BATCH, steps, INPUTS), 5), (double((BATCH, UNITS), 6), double((BATCH, UNITS), 7))
    got = gradients(ours, lambda x, s: ours(x, s), inputs, state)
    wanted = gradients(theirs, lambda x, s: theirs(x, initial_state=list(s)), inputs, state)
    for mine, other in zip(tf.nest.flatten(got), tf.nest.flatten(wanted), strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-13)


def test_weights_have_kerass_names_order_and_shapes():
    ours, theirs = layers_alike()
    assert [(w.name, w.shape) for w in ours.weights] == [(w.name, w.shape) for w in theirs.weights]


def test_the_state_carries_a_sequence_from_call_to_call():
    layer, _ = layers_alike()
    inputs, state = double((BATCH, 12, INPUTS)), (double((BATCH, UNITS), 1), double((BATCH, UNITS), 2))
    whole, *last = layer(inputs, state)
    first, *between = layer(inputs[:, :5], state)
    second, *end = layer(inputs[:, 5:], tuple(between))
    np.testing.assert_allclose(tf.concat([first, second], 1), whole, atol=1e-14)
    np.testing.assert_allclose(end, last, atol=1e-14)


def test_a_second_bias_adds_to_the_first_and_has_the_same_gradient():
    one, _ = layers_alike()
    two = LSTM(UNITS, use_recurrent_bias=True, dtype="float64")
    two.build((BATCH, None, INPUTS), [(BATCH, UNITS)] * 2)
    kernel, recurrent_kernel, bias = one.get_weights()
    two.set_weights([kernel, recurrent_kernel, 0.25 * bias, 0.75 * bias])
    inputs, state = double((BATCH, 6, INPUTS)), (double((BATCH, UNITS), 1), double((BATCH, UNITS), 2))
    (outputs, of_one), (same, of_two) = (gradients(layer, layer, inputs, state) for layer in (one, two))
    np.testing.assert_allclose(same[0], outputs[0], atol=1e-14)
    np.testing.assert_allclose(of_two[2], of_one[2], atol=1e-13)
    np.testing.assert_array_equal(of_two[2], of_two[3])


def test_one_trace_serves_sequences_of_every_length():
    layer = LSTM(UNITS)
    layer.build((BATCH, None, INPUTS), [(BATCH, UNITS)] * 2)
    zeros = tf.zeros([BATCH, UNITS])
    run = tf.function(
        lambda x: layer(x, (zeros, zeros))[0], input_signature=[tf.TensorSpec([BATCH, None, INPUTS], tf.float32)]
    )
    assert [run(tf.zeros([BATCH, steps, INPUTS])).shape[1] for steps in (3, 8, 1)] == [3, 8, 1]
    assert run.experimental_get_tracing_count() == 1


def test_weights_start_within_the_range_of_pytorchs_law():
    layer = LSTM(100, use_recurrent_bias=True)
    layer.build((BATCH, None, 100), [(BATCH, 100)] * 2)
    for weight in layer.get_weights():
        assert 0.09 < np.abs(weight).max() <= 0.1
        assert abs(weight.mean()) < 0.02


def test_half_precision_products_leave_the_state_in_float32():
    layer = LSTM(UNITS, dtype="mixed_bfloat16")
    exact = LSTM(UNITS)
    inputs, zeros = tf.cast(double((BATCH, 9, INPUTS)), tf.float32), tf.zeros([BATCH, UNITS])
    wanted = exact(inputs, (zeros, zeros))
    layer.build(inputs.shape, [zeros.shape] * 2)
    layer.set_weights(exact.get_weights())
    outputs, hidden, cell = layer(inputs, (zeros, zeros))
    assert (outputs.dtype, hidden.dtype, cell.dtype) == (tf.bfloat16, tf.float32, tf.float32)
    for got, expected in zip((outputs, hidden, cell), wanted):
        np.testing.assert_allclose(tf.cast(got, tf.float32), expected, atol=0.05)


def test_a_saved_layer_comes_back_as_it_was(tmp_path):
    sequence, state = keras.Input([None, INPUTS]), (keras.Input([UNITS]), keras.Input([UNITS]))
    model = keras.Model([sequence, *state], LSTM(UNITS, use_recurrent_bias=True)(sequence, state))
    model.save(tmp_path / "lstm.keras")
    loaded = keras.saving.load_model(tmp_path / "lstm.keras")
    values = [tf.ones([BATCH, 3, INPUTS]), tf.ones([BATCH, UNITS]), tf.zeros([BATCH, UNITS])]
    for got, wanted in zip(loaded(values), model(values), strict=True):
        np.testing.assert_array_equal(got, wanted)

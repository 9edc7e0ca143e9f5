"""The state of a language model goes on from call to call, lane by lane, however the lanes are split over replicas."""

import numpy as np
import pytest
import tensorflow as tf

import tf_models
from tf_models.sha_rnn import MEMORY_ROWS
from tf_models.state import empty_state
from trainers.loop.stateful import StatefulModel

LANES, TIME, MEMORY = 4, 5, 7  # the second segment fills the memory, which is cut for it
ALL, NONE = tuple(range(LANES)), ()
# Products over other numbers of rows are added up in another order.
CLOSE = dict(rtol=1e-5, atol=1e-6)


def build(strategy):
    """A small network without dropout, of weights large enough to show what its state does."""
    with strategy.scope():
        model = tf_models.build_model(
            "sha_rnn", num_classes=11, width=8, boom_width=16, num_layers=2, attention_layers=(1,), memory_size=MEMORY,
            input_dropout=0.0, hidden_dropout=0.0, dropout=0.0,
        )  # fmt: skip
        random = np.random.default_rng(0)
        model.set_weights([random.normal(0, 0.5, w.shape) for w in model.weights])
    return model


@pytest.fixture(scope="module")
def model():
    return build(one_device())


def one_device():
    return tf.distribute.OneDeviceStrategy("cpu:0")


def carry(model):
    with one_device().scope():
        return StatefulModel(one_device(), model, LANES)


def segment(number):
    return tf.constant(np.random.default_rng(number).integers(0, 11, (LANES, TIME)), tf.int32)


def is_first(lanes):
    """[LANES] bool: whether each is among `lanes`, which begin a text."""
    return tf.constant([lane in lanes for lane in range(LANES)])


def run(network, numbers, begin=ALL):
    """The logits of segments one after the other; with the first of them the lanes `begin` begin."""
    logits = [
        network(segment(number), is_first(NONE if place else begin), training=False)["logits"]
        for place, number in enumerate(numbers)
    ]
    return [each.numpy() for each in logits]


def held(network):
    """The state as a checkpoint would hold it."""
    network.gather()
    return {name: variable.numpy() for name, variable in network.variables().items()}


def assert_close(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], err_msg=name, **CLOSE)


def test_a_call_goes_on_where_the_last_one_ended(model):
    logits = run(carry(model), [1, 2, 3])
    state = empty_state(model, LANES)
    for number, ours in zip([1, 2, 3], logits):
        outputs = model({"tokens": segment(number), "state": state})
        np.testing.assert_allclose(ours, outputs["logits"], **CLOSE)
        state = outputs["state"]
    assert not np.allclose(logits[1], run(carry(model), [2])[0], rtol=0.01)


def test_a_lane_that_begins_forgets_and_the_others_go_on(model):
    network = carry(model)
    run(network, [1])
    mixed = run(network, [2], begin=(0, 3))[0]
    anew, on = run(carry(model), [2])[0], run(carry(model), [1, 2])[1]
    np.testing.assert_allclose(mixed[[0, 3]], anew[[0, 3]], **CLOSE)
    np.testing.assert_allclose(mixed[[1, 2]], on[[1, 2]], **CLOSE)
    assert held(network)[MEMORY_ROWS].tolist() == [TIME, MEMORY, MEMORY, TIME]


def test_no_gradient_flows_into_the_segment_before(model):
    network = carry(model)
    weights = model.trainable_variables
    with tf.GradientTape() as tape:
        network(segment(1), is_first(ALL), training=False)
        state = {name: tf.identity(part) for name, part in held(network).items()}
        loss = tf.reduce_sum(network(segment(2), is_first(NONE), training=False)["logits"] ** 2)
    carried = tape.gradient(loss, weights)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model({"tokens": segment(2), "state": state}, training=False)["logits"] ** 2)
    for ours, theirs in zip(carried, tape.gradient(loss, weights), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_state_that_is_put_back_goes_on_as_if_nothing_had_been(model):
    network = carry(model)
    run(network, [1, 2])
    before, expected = held(network), run(network, [3], NONE)[0]
    run(network, [4, 5])
    for name, variable in network.variables().items():
        variable.assign(before[name])
    network.scatter()
    np.testing.assert_array_equal(run(network, [3], NONE)[0], expected)


@pytest.fixture(scope="module")
def on_two(two_replicas):
    """A network on two replicas, and what gives the logits of a segment."""
    model = build(two_replicas)
    with two_replicas.scope():
        network = StatefulModel(two_replicas, model, LANES)

    @tf.function
    def step(tokens, begins):
        def on_replica(tokens, begins):
            return network(tokens, begins, training=False)["logits"]

        return two_replicas.gather(two_replicas.run(on_replica, (tokens, begins)), axis=0)

    def split(values):
        return two_replicas.experimental_distribute_values_from_function(
            lambda context: tf.split(values, 2)[context.replica_id_in_sync_group]
        )

    def logits_of(number, begin=NONE):
        return step(split(segment(number)), split(is_first(begin))).numpy()

    return network, logits_of


def test_replicas_carry_the_state_of_their_own_lanes(model, on_two):
    network, logits_on_two = on_two
    alone = carry(model)
    for number, begin in ((1, ALL), (2, NONE), (3, (1,))):
        np.testing.assert_allclose(logits_on_two(number, begin), run(alone, [number], begin)[0], **CLOSE)
    assert_close(held(network), held(alone))


def test_what_is_saved_is_continued_by_another_number_of_replicas(model, on_two):
    network, logits_on_two = on_two
    alone = carry(model)
    run(alone, [1, 2])
    saved = held(alone)
    expected = run(alone, [3], NONE)[0]
    for name, variable in network.variables().items():
        variable.assign(saved[name])
    network.scatter()
    np.testing.assert_allclose(logits_on_two(3), expected, **CLOSE)
    for name, part in held(network).items():
        alone.variables()[name].assign(part)
    alone.scatter()
    np.testing.assert_allclose(logits_on_two(4), run(alone, [4], NONE)[0], **CLOSE)


def test_lanes_are_saved_in_their_order_with_one_replica_s_types(model):
    saved = carry(model).variables()
    assert set(saved) == set(empty_state(model, LANES))
    assert all(part.shape[0] == LANES for part in saved.values())
    assert saved["block1_memory"].shape == (LANES, MEMORY, 8) and saved[MEMORY_ROWS].dtype == tf.int32

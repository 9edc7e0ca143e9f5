"""The weight average against TensorFlow's, on one device and on replicas, and its exchange with the live values."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainers.optimizers.weight_average import WeightAverage


def make_network():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    )
    return model, [*model.trainable_variables, *model.non_trainable_variables]


def values_of(variables):
    return [v.numpy().copy() for v in variables]


@pytest.mark.parametrize("decay", [0.9999, 0.3])
def test_average_equals_tensorflows_moving_average_with_num_updates(decay):
    generator = np.random.default_rng(0)
    variable = keras.Variable(np.ones((3, 4), "float32"))
    average = WeightAverage([variable], decay)
    reference_variable = tf.Variable(np.ones((3, 4), "float32"))
    step = tf.Variable(0, dtype=tf.int64)
    reference = tf.train.ExponentialMovingAverage(decay, num_updates=step)
    reference.apply([reference_variable])  # makes the copy, and moves it nowhere
    for _ in range(30):
        value = generator.normal(size=(3, 4)).astype("float32")
        variable.assign(value)
        reference_variable.assign(value)
        step.assign_add(1)
        average.update(step)
        reference.apply([reference_variable])
        # TensorFlow's 1 - decay has four good digits; after t steps the averages differ by a few of its roundings.
        np.testing.assert_allclose(average.variables[0], reference.average(reference_variable), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("step, decay", [(1, 2 / 11), (90, 0.91), (1_000_000, 0.9999)])
def test_decay_warms_up_with_the_step(step, decay):
    variable = keras.Variable(0.0)
    average = WeightAverage([variable], 0.9999)
    variable.assign(1.0)
    average.update(step)
    assert float(average.variables[0]) == pytest.approx(1 - decay, rel=1e-5)


def test_average_starts_as_a_copy():
    _, variables = make_network()
    average = WeightAverage(variables, 0.9)
    for variable, mean in zip(average.averaged, average.variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), mean.numpy())


def test_moving_statistics_are_averaged_and_seeds_are_not():
    model, variables = make_network()
    average = WeightAverage(variables, 0.9)
    names = [v.name for v in average.averaged]
    assert names == ["kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"]
    assert len(variables) == len(names) + 1  # the dropout's seed
    assert [a.name for a in average.variables] == [f"{v.path}/average:0" for v in average.averaged]


def test_swapped_shows_the_averages_and_brings_the_live_values_back():
    model, variables = make_network()
    average = WeightAverage(variables, 0.9)
    for v in average.averaged:
        v.assign(v + 1)
    average.update(5)
    live, means = values_of(average.averaged), values_of(average.variables)
    with average.swapped():
        for variable, mean in zip(average.averaged, means, strict=True):
            np.testing.assert_array_equal(variable.numpy(), mean)
    for variable, before in zip(average.averaged, live, strict=True):
        np.testing.assert_array_equal(variable.numpy(), before)
    for variable, mean in zip(average.variables, means, strict=True):
        np.testing.assert_array_equal(variable.numpy(), mean)


def test_swapped_brings_the_live_values_back_after_an_error():
    variable = keras.Variable(0.0)
    average = WeightAverage([variable], 0.9)
    variable.assign(1.0)
    with pytest.raises(RuntimeError, match="no more memory"), average.swapped():
        assert float(variable) == 0
        raise RuntimeError("no more memory")
    assert float(variable) == 1


@pytest.fixture
def replicated(two_replicas):
    """Strategy, the average of a weight that was 1 on both replicas and is 5 and 9 now, and a step."""
    with two_replicas.scope():
        weight = keras.Variable(np.ones(2, "float32"))
        average = WeightAverage([weight], 0.75)
    optimizer_step = tf.constant(100)

    @tf.function
    def step():
        two_replicas.run(lambda: average.update(optimizer_step))

    weight.assign([5.0, 9.0])
    return two_replicas, average, step


def test_replicas_update_their_averages_without_communication(replicated):
    strategy, average, step = replicated
    graph = step.get_concrete_function().graph
    assert not [op.type for op in graph.get_operations() if "Collective" in op.type or "Nccl" in op.type]
    step()
    for replica in strategy.experimental_local_results(average.variables[0]):
        np.testing.assert_array_equal(replica.numpy(), [2.0, 3.0])  # a quarter of the way from 1 to 5 and 9


def test_swapped_reaches_every_replica(replicated):
    strategy, average, step = replicated
    step()
    weight = average.averaged[0]
    with average.swapped():
        read = strategy.run(tf.function(lambda: tf.convert_to_tensor(weight.value)))
        assert [r.numpy().tolist() for r in strategy.experimental_local_results(read)] == [[2.0, 3.0]] * 2
    assert [r.numpy().tolist() for r in strategy.experimental_local_results(weight.value)] == [[5.0, 9.0]] * 2


def test_a_restarted_average_is_a_copy_again(replicated):
    strategy, average, step = replicated
    step()
    average.restart()
    for replica in strategy.experimental_local_results(average.variables[0]):
        np.testing.assert_array_equal(replica.numpy(), [5.0, 9.0])


def test_averages_survive_a_checkpoint(replicated, tmp_path):
    _, average, step = replicated
    step()
    means = values_of(average.variables)
    path = tf.train.Checkpoint(average=average.variables).write(str(tmp_path / "average"))
    step()
    tf.train.Checkpoint(average=average.variables).read(path).assert_consumed()
    for variable, mean in zip(average.variables, means, strict=True):
        np.testing.assert_array_equal(variable.numpy(), mean)

"""What the optimizers of ours have in common: replicas, sparse gradients, saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainers.optimizers.adam import FusedAdam
from trainers.optimizers.lamb import LambMinTrust
from trainers.optimizers.rmsprop import RMSPropTF1

OPTIMIZERS = {  # class, arguments at which a step is a fair size, and arguments none of which is the default
    "adam": (FusedAdam, {"learning_rate": 0.01}, {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-5}),
    "rmsprop": (RMSPropTF1, {"learning_rate": 0.256}, {"rho": 0.8, "momentum": 0.7, "epsilon": 0.1}),
    "lamb": (
        LambMinTrust,
        {"learning_rate": 0.002, "decay": 1.2e-6},
        {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-5, "min_trust": 0.1, "max_weight_norm": 5.0, "decay": 0.01},
    ),
}
every_optimizer = pytest.mark.parametrize(
    ("optimizer_class", "arguments", "settings"), OPTIMIZERS.values(), ids=OPTIMIZERS
)


@every_optimizer
@pytest.mark.parametrize("through", ["apply_gradients", "update_step"])
def test_two_replicas_take_the_step_of_the_summed_gradient_on_both(
    two_replicas, through, optimizer_class, arguments, settings
):
    with two_replicas.scope():
        variable = keras.Variable(np.ones((2, 3), "float32"))
        optimizer = optimizer_class(**arguments)
        optimizer.build([variable])

    @tf.function
    def step():
        def on_replica():
            replica = tf.distribute.get_replica_context()
            gradient = variable.value + tf.cast(replica.replica_id_in_sync_group, tf.float32)
            if through == "apply_gradients":
                optimizer.apply_gradients([(gradient, variable)])
            else:
                gradient = replica.all_reduce(tf.distribute.ReduceOp.SUM, gradient)
                optimizer.update_step(gradient, variable, optimizer.learning_rate)
                optimizer.iterations.assign_add(1)

        two_replicas.run(on_replica)

    single = keras.Variable(np.ones((2, 3), "float32"))
    reference = optimizer_class(**arguments)
    for _ in range(3):
        step()
        reference.apply_gradients([(2 * single.value + 1, single)])
    for replica in two_replicas.experimental_local_results(variable.value):
        np.testing.assert_array_equal(replica.numpy(), single.numpy())


@every_optimizer
def test_a_sparse_gradient_is_applied_as_a_dense_one(optimizer_class, arguments, settings):
    sparse = tf.IndexedSlices(tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([2, 2]), tf.constant([3, 2]))
    variables = [keras.Variable(np.ones((3, 2), "float32")) for _ in range(2)]
    for variable, gradient in zip(variables, (sparse, tf.convert_to_tensor(sparse)), strict=True):
        optimizer_class(**arguments).apply_gradients([(gradient, variable)])
    np.testing.assert_array_equal(variables[0].numpy(), variables[1].numpy())


@every_optimizer
def test_a_saved_and_loaded_model_goes_on_with_the_same_steps(optimizer_class, arguments, settings, tmp_path):
    def train(model, steps):
        for _ in range(steps):
            model.train_on_batch(np.ones((4, 3), "float32"), np.ones((4, 2), "float32"))

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(optimizer_class(0.01, **settings), "mse")
    train(model, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    config = loaded.optimizer.get_config()
    assert config == model.optimizer.get_config() and settings.items() <= config.items()
    for each in (model, loaded):
        train(each, 3)
    np.testing.assert_array_equal(model.get_weights()[0], loaded.get_weights()[0])


@every_optimizer
def test_every_slot_is_counted_once(optimizer_class, arguments, settings):
    shapes = [(), (7,), (3, 5), (3, 3, 4, 1)]
    optimizer = optimizer_class(**arguments)
    optimizer.build([keras.Variable(np.ones(shape, "float32")) for shape in shapes])
    # Iterations, learning rate; of each variable mean square and step, or m and v.
    assert len(optimizer.variables) == 2 + 2 * len(shapes)

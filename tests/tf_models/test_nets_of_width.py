"""What the networks of Deep Double Descent have in common: their files, and that they learn."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_models
from tests.tf_models.steps import training_step

SHAPES = {"cnn5": (28, 28, 1), "preact_resnet18": (32, 32, 3), "mlp": (28, 28, 1)}
ASSIGNED = {"cnn5": 4 * 6 + 2, "preact_resnet18": 20 + 4 * 16 + 2, "mlp": 4}  # tensors of a file
every_network = pytest.mark.parametrize("name", SHAPES)


def build(name: str, k: int = 4, shape=None) -> keras.Model:
    return tf_models.build_model(name, k=k, input_shape=shape or SHAPES[name], num_classes=10)


def images(shape, batch: int = 2) -> tf.Tensor:
    return tf.random.stateless_normal((batch, *shape), seed=[1, 2])


@every_network
@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5"])
def test_our_files_load_into_a_new_network(name, file, tmp_path):
    model, other = build(name), build(name)
    for norm in (layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)):
        norm.moving_mean.assign(np.linspace(-1, 1, norm.moving_mean.shape[0]))
    save = model.save if file == "model.keras" else model.save_weights
    save(tmp_path / file)
    loaded = tf_models.load_weights(other, tmp_path / file)
    assert (loaded.assigned, loaded.unused, loaded.initial) == (ASSIGNED[name], {}, ())
    batch = images(SHAPES[name])
    np.testing.assert_array_equal(other(batch), model(batch))


@every_network
def test_the_loss_falls_on_one_batch(name):
    keras.utils.set_random_seed(0)
    model = build(name, shape=(28, 28, 1))
    step = training_step(model, images((28, 28, 1), batch=8), keras.optimizers.SGD(0.1))
    losses = [float(step()) for _ in range(20)]
    assert losses[-1] < 0.6 * losses[0]

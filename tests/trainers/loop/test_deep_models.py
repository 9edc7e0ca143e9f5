"""A finished run of a network deeper than Python's recursion limit, such as ResNet-1202, is loaded and copied."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_models.deep_graphs import deep_graphs
from trainers.run.export import single_device_copy
from trainers.run.folder import RunFolder
from trainers.run.load import load_finished


@pytest.fixture(scope="module")
def deep_model():
    inputs = keras.Input((3,))
    x = keras.layers.Dense(2)(inputs)
    for _ in range(sys.getrecursionlimit()):
        x = keras.layers.Activation("relu")(x)
    with deep_graphs():
        return keras.Model(inputs, x)


def test_the_model_of_a_finished_run_is_loaded(deep_model, tmp_path):
    folder = RunFolder(tmp_path)
    deep_model.save(folder.keras_model)
    loaded = load_finished("deep", folder, tf.distribute.get_strategy())
    np.testing.assert_array_equal(loaded.get_weights()[0], deep_model.get_weights()[0])


def test_the_model_of_a_finished_run_is_copied_for_export(deep_model):
    np.testing.assert_array_equal(single_device_copy(deep_model).get_weights()[0], deep_model.get_weights()[0])

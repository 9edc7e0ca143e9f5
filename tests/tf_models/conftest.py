"""What tests of the networks share: two logical devices, and networks whose weights are not drawn."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is loaded

import contextlib
from unittest import mock

import keras
import pytest
import tensorflow as tf

from trainers.run.strategy import make_strategy

# Before any operation runs: TensorFlow fixes its devices then.
_cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(scope="session")
def two_devices():
    """A MirroredStrategy over two logical CPU devices."""
    return make_strategy("mirrored", cluster=None, devices="cpu:0,cpu:1")


@pytest.fixture(scope="module")
def weights_not_drawn():
    """Random initial weights are zeros: drawing millions of them is a third of the time to build a large network."""

    def zeros(self, shape, dtype=None):
        return tf.zeros(shape, dtype or keras.config.floatx())

    with contextlib.ExitStack() as stack:
        for kind in ("RandomNormal", "RandomUniform", "VarianceScaling"):
            stack.enter_context(mock.patch.object(getattr(keras.initializers, kind), "__call__", zeros))
        yield

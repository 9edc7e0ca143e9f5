"""What tests of the networks share: two logical devices."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is loaded

import pytest
import tensorflow as tf

# Before any operation runs: TensorFlow fixes its devices then.
_cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(scope="session")
def two_devices():
    """A MirroredStrategy over two logical CPU devices."""
    return tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])

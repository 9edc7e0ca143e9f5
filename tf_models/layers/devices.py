"""Which devices this process computes on; some kernels are worth calling another way on the CPU alone."""

from __future__ import annotations

import tensorflow as tf


def cpu_only() -> bool:
    """Returns whether TensorFlow sees neither GPU nor TPU."""
    return all(device.device_type == "CPU" for device in tf.config.list_logical_devices())

"""Which devices this process computes on; some kernels are worth calling another way on one kind of them."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import tensorflow as tf

_is_portable: contextvars.ContextVar[bool] = contextvars.ContextVar("is_portable", default=False)


def cpu_only() -> bool:
    """Returns whether TensorFlow sees neither GPU nor TPU."""
    return all(device.device_type == "CPU" for device in tf.config.list_logical_devices())


def has_cudnn(tensor: tf.Tensor) -> bool:
    """Returns whether what is computed from `tensor` may be left to cuDNN: on a GPU, and not in what is `portable`."""
    return not _is_portable.get() and bool(tf.config.list_logical_devices("GPU")) and "CPU" not in tensor.device


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """Makes layers that are traced inside take only kernels that every device has: for what is exported."""
    token = _is_portable.set(True)
    try:
        yield
    finally:
        _is_portable.reset(token)

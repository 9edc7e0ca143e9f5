"""The devices of this process, for layers with an implementation per kind of device."""

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
    """Returns whether cuDNN may compute on `tensor`: it is on a GPU, and the context is not `portable`."""
    return not _is_portable.get() and bool(tf.config.list_logical_devices("GPU")) and "CPU" not in tensor.device


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """Context for export: layers traced inside use only kernels that exist on every device."""
    token = _is_portable.set(True)
    try:
        yield
    finally:
        _is_portable.reset(token)

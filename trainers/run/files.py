"""Writing a file so that a reader, or a run after a crash, sees the old content or the new, never a part."""

from __future__ import annotations

import io
import json
import os
import pathlib
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np


def fsync(path: pathlib.Path) -> None:
    """Waits until a file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """Replaces `path` by `content` in one step."""
    aside = path.with_name(f".{path.name}.writing")
    aside.write_bytes(content)
    fsync(aside)
    os.replace(aside, path)


def replace_remote(path: str, content: bytes) -> None:
    """As `write_bytes`, on any file system that TensorFlow knows (`gs://`, ...), by any number of processes at once.

    Raises:
        tf.errors.OpError: it cannot be written.
    """
    import tensorflow as tf  # the other functions here are used without it

    aside = f"{path}.{uuid.uuid4().hex}.writing"
    with tf.io.gfile.GFile(aside, "wb") as file:
        file.write(content)
    tf.io.gfile.rename(aside, path, overwrite=True)


def write_text(path: pathlib.Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: pathlib.Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A compressed archive of arrays by name, as `numpy.load` reads it."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()

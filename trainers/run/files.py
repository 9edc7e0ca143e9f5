"""Atomic file writes: a reader, or a run after a crash, sees the old content or the new, never a part of it."""

from __future__ import annotations

import contextlib
import glob
import io
import json
import os
import pathlib
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

import numpy as np


def matching(pattern: str) -> list[pathlib.Path]:
    """The files and folders that match a glob pattern, sorted.

    An existing path matches itself. Brackets may be part of a name: "x [1]/*" is also tried with literal brackets.
    """
    if os.path.exists(pattern):
        return [pathlib.Path(pattern)]
    names = glob.glob(pattern, recursive=True) or glob.glob(pattern.replace("[", "[[]"), recursive=True)
    return [pathlib.Path(name) for name in sorted(names)]


def fsync(path: pathlib.Path) -> None:
    """Flushes a file's content, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[TextIO]:
    """Context that writes a text file line by line; it replaces the content of `path` at the end, if nothing fails."""
    aside = path.with_name(f".{path.name}.writing")
    try:
        with aside.open("w", encoding="utf-8") as file:
            yield file
        fsync(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """Atomically replaces the content of `path`."""
    aside = path.with_name(f".{path.name}.writing")
    aside.write_bytes(content)
    fsync(aside)
    os.replace(aside, path)


def replace_remote(path: str, content: bytes) -> None:
    """Like `write_bytes`, on any file system that TensorFlow supports (`gs://`, ...), safe with concurrent writers.

    Raises:
        tf.errors.OpError: the file cannot be written.
    """
    import tensorflow as tf  # imported here because the other functions do not need it

    aside = f"{path}.{uuid.uuid4().hex}.writing"
    with tf.io.gfile.GFile(aside, "wb") as file:
        file.write(content)
    tf.io.gfile.rename(aside, path, overwrite=True)


def write_text(path: pathlib.Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: pathlib.Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Returns a compressed archive of named arrays for `numpy.load`."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()

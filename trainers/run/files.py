"""Writing a file so that a reader, or a run after a crash, sees the old content or the new, never a part."""

from __future__ import annotations

import io
import json
import os
import pathlib
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


def write_text(path: pathlib.Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: pathlib.Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_npz(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Replaces `path` by a compressed archive of arrays by name."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_bytes(path, content.getvalue())

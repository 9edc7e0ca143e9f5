"""Paths for TensorFlow's readers of checkpoints and SavedModels, which take some characters for a pattern."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator

SPECIAL = re.compile(r"[\[\]*?\\]")


@contextlib.contextmanager
def literal(path: str | os.PathLike) -> Iterator[str]:
    """A path to the same files that TensorFlow takes literally, valid within this context.

    TensorFlow finds no file in a folder named "x [1]", even if it has written it. Such a path is replaced by one of
    symbolic links in a temporary folder.

    Args:
        path: a folder, or the prefix of a checkpoint's files.
    """
    path = pathlib.Path(path)
    if not SPECIAL.search(str(path)):
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as links:
        link = pathlib.Path(links, "link")
        for file in path.parent.iterdir():
            if file.name == path.name or file.name.startswith(f"{path.name}."):
                link.with_name(link.name + file.name[len(path.name) :]).symlink_to(file.absolute())
        yield str(link)

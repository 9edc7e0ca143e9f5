"""Literal paths for TensorFlow's readers of checkpoints and SavedModels, which expand patterns in a path."""

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
    """Context with a path to the same files that contains no pattern.

    TensorFlow cannot read what it has written in a folder named "x [1]". Such a path is replaced by symbolic links in a
    temporary folder.

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

"""Folder locks, which the operating system releases when the process ends, however it ends."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import pathlib
import socket
from collections.abc import Iterator

from flags.errors import UserError


@contextlib.contextmanager
def locked(folder: pathlib.Path, name: str = "lock", *, is_shared: bool = False) -> Iterator[None]:
    """Locks a folder with a file in it, creating the folder if needed; `is_shared` takes a shared lock.

    Raises:
        UserError: another process holds the lock (the message names its id, host and start), or the folder is not
            writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / name).open("a+")
    except OSError as error:
        raise unwritable(folder, error) from error
    with lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            raise UserError(
                f"--model_dir={folder}: {owner} is writing this folder. Wait for it, stop it, or give another folder."
            ) from None
        lock.truncate(0)
        started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        lock.write(f"process {os.getpid()} on {socket.gethostname()}, started {started},")
        lock.flush()
        yield


def unwritable(folder: pathlib.Path, error: OSError) -> UserError:
    return UserError(f"--model_dir={folder}: cannot be written ({error.strerror}). Give another folder.")

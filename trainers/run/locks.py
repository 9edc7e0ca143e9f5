"""Who may write a folder: locks that the system lets go of when their process ends, however it ends."""

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
    """Holds a folder, which is made if it is not there, by a file in it; `is_shared` with others that share it.

    Raises:
        UserError: another process holds it (named by its number, host and start), or it cannot be written.
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
                f"--model_dir={folder}: {owner} is writing this folder. Wait for it, stop it, or name another folder."
            ) from None
        lock.truncate(0)
        started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        lock.write(f"process {os.getpid()} on {socket.gethostname()}, started {started},")
        lock.flush()
        yield


def unwritable(folder: pathlib.Path, error: OSError) -> UserError:
    return UserError(f"--model_dir={folder}: cannot be written ({error.strerror}). Name another folder.")

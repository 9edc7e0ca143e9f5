"""Checkpoints that survive a kill at any instant: written aside, synced, renamed; the best is kept besides the latest.

    checkpoints/
      step-00001000/      variables.index, variables.data-00000-of-00001 (TensorFlow's format), run.json
      best.json           which step is the best so far, and by what

A folder under its final name is whole: its files were on the disk before the rename. TensorFlow checks a CRC of
every tensor on reading, so damage that comes later is found, reported, and the checkpoint before it is used.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
from collections.abc import Mapping

import tensorflow as tf
from absl import logging

from flags.errors import RunError
from trainers.run.files import fsync, write_json

NAME = re.compile(r"step-(\d{8,})")


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they live; created on the first save.
        keep: how many of the latest are kept (the best is kept as well).
    """

    def __init__(self, folder: pathlib.Path, *, keep: int):
        self.folder = pathlib.Path(folder)
        self._keep = keep

    def steps(self) -> list[int]:
        """Steps of all complete checkpoints, ascending."""
        if not self.folder.is_dir():
            return []
        return sorted(int(match[1]) for path in self.folder.iterdir() if (match := NAME.fullmatch(path.name)))

    @property
    def best(self) -> dict | None:
        """`{"step", "metric", "value"}` of the best evaluation so far whose checkpoint is there."""
        try:
            best = json.loads((self.folder / "best.json").read_text())
            return best if best["step"] in self.steps() else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def path(self, step: int) -> pathlib.Path:
        return self.folder / f"step-{step:08d}"

    def save(self, step: int, variables: Mapping[str, tf.Variable], run: Mapping) -> None:
        """Writes `variables` and the host's part of the state, `run` (JSON), then removes what is no longer kept.

        Raises:
            OSError: the disk is full or cannot be written. What was saved before is untouched.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for stale in self.folder.glob("writing-*"):
            shutil.rmtree(stale, ignore_errors=True)
        aside = self.folder / f"writing-{step:08d}"
        try:
            aside.mkdir()
            tf.train.Checkpoint(variables=dict(variables)).write(str(aside / "variables"))
            (aside / "run.json").write_text(json.dumps(dict(run)))
            for path in (*aside.iterdir(), aside):
                fsync(path)
        except tf.errors.OpError as error:
            shutil.rmtree(aside, ignore_errors=True)
            raise OSError(f"cannot write the checkpoint of step {step} in {self.folder}: {error.message}") from error
        except OSError:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        final = self.path(step)
        if final.exists():  # damaged, or saved twice at one step
            shutil.rmtree(final)
        os.rename(aside, final)
        fsync(self.folder)
        self._rotate()

    def mark_best(self, step: int, metric: str, value: float) -> None:
        """Names the checkpoint of `step`, which is there, as the best; it is kept until a better one comes."""
        write_json(self.folder / "best.json", {"step": step, "metric": metric, "value": value})
        self._rotate()

    def restore(self, step: int, variables: Mapping[str, tf.Variable]) -> dict:
        """Reads the checkpoint of `step` into `variables`; returns its `run`.

        Raises:
            DamagedCheckpoint: it cannot be read whole, or it lacks one of the variables.
        """
        path = self.path(step)
        try:
            run = json.loads((path / "run.json").read_text())
            tf.train.Checkpoint(variables=dict(variables)).read(
                str(path / "variables")
            ).assert_existing_objects_matched()
            return run
        except (tf.errors.OpError, OSError, ValueError, IndexError, AssertionError) as error:
            reason = getattr(error, "message", None) or str(error)
            raise DamagedCheckpoint(f"{path} cannot be read: {reason.splitlines()[0]}") from error

    def restore_latest(self, variables: Mapping[str, tf.Variable]) -> dict | None:
        """Reads the newest checkpoint that is whole; damaged ones are reported and passed over. None if there is none.

        Raises:
            RunError: there are checkpoints, and none of them is whole. Only the user may throw a run away.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                return self.restore(step, variables)
            except DamagedCheckpoint as error:
                logging.warning("%s. The one before it is used.", error)
        if steps:
            raise RunError(f"{self.folder}: no checkpoint can be read whole. To begin anew, move this folder away.")
        return None

    def drop_after(self, step: int) -> None:
        """Removes checkpoints beyond `step`: damaged ones that a resumed run will write again."""
        for later in (s for s in self.steps() if s > step):
            shutil.rmtree(self.path(later))

    def _rotate(self) -> None:
        best = self.best
        kept = set(self.steps()[-self._keep :]) | ({best["step"]} if best else set())
        for step in self.steps():
            if step not in kept:
                shutil.rmtree(self.path(step))


class DamagedCheckpoint(Exception):
    """A checkpoint that cannot be read whole; the message names it and the reason."""

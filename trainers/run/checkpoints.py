"""Checkpoints that survive a kill at any time: written to a temporary folder, synced, renamed.

    checkpoints/
      step-00001000/      variables.index, variables.data-00000-of-00001 (TensorFlow's format), run.json
      best.json           the best step so far, its metric and value

A folder under its final name is complete: its files were synced to disk before the rename. TensorFlow verifies a CRC of
every tensor on reading, so later damage is detected and reported, and the previous checkpoint is used.
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
from tf_models.literal_paths import literal
from trainers.run.files import fsync, write_json

NAME = re.compile(r"step-(\d{8,})")


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: the directory of checkpoints; created on the first save.
        keep: number of latest checkpoints to keep; the best is always kept.
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
        """`{"step", "metric", "value"}` of the best evaluation so far; None if its checkpoint does not exist."""
        try:
            best = json.loads((self.folder / "best.json").read_text())
            return best if best["step"] in self.steps() else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def path(self, step: int) -> pathlib.Path:
        return self.folder / f"step-{step:08d}"

    def save(self, step: int, variables: Mapping[str, tf.Variable], run: Mapping) -> None:
        """Writes `variables` and the host's part of the state, `run` (JSON), then removes old checkpoints.

        Raises:
            OSError: the disk is full or not writable. Earlier checkpoints are untouched.
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
        if final.exists():  # damaged, or saved twice at the same step
            shutil.rmtree(final)
        os.rename(aside, final)
        fsync(self.folder)
        self._rotate()

    def mark_best(self, step: int, metric: str, value: float) -> None:
        """Marks the existing checkpoint of `step` as the best; it is kept until a better one is marked."""
        write_json(self.folder / "best.json", {"step": step, "metric": metric, "value": value})
        self._rotate()

    def restore(self, step: int, variables: Mapping[str, tf.Variable]) -> dict:
        """Reads the checkpoint of `step` into `variables`; returns its `run`.

        Raises:
            DamagedCheckpoint: the checkpoint cannot be read completely, or it lacks a variable.
        """
        path = self.path(step)
        try:
            run = json.loads((path / "run.json").read_text())
            with literal(path / "variables") as prefix:
                tf.train.Checkpoint(variables=dict(variables)).read(prefix).assert_existing_objects_matched()
            return run
        except (tf.errors.OpError, OSError, ValueError, IndexError, AssertionError) as error:
            reason = getattr(error, "message", None) or str(error)
            raise DamagedCheckpoint(f"{path} cannot be read: {reason.splitlines()[0]}") from error

    def restore_latest(self, variables: Mapping[str, tf.Variable]) -> dict | None:
        """Reads the newest intact checkpoint, reporting and skipping damaged ones; None if there are no checkpoints.

        Raises:
            RunError: all checkpoints are damaged. Only the user may discard a run.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                return self.restore(step, variables)
            except DamagedCheckpoint as error:
                logging.warning("%s. Using the checkpoint before it.", error)
        if steps:
            raise RunError(f"{self.folder}: all checkpoints are damaged. To start over, move this folder away.")
        return None

    def drop_after(self, step: int) -> None:
        """Removes checkpoints after `step`: damaged ones that the resumed run will write again."""
        for later in (s for s in self.steps() if s > step):
            shutil.rmtree(self.path(later))

    def _rotate(self) -> None:
        best = self.best
        kept = set(self.steps()[-self._keep :]) | ({best["step"]} if best else set())
        for step in self.steps():
            if step not in kept:
                shutil.rmtree(self.path(step))


class DamagedCheckpoint(Exception):
    """A checkpoint that cannot be read completely; the message names it and the reason."""

"""The run directory: locking, the recipe it belongs to, and the log of metrics.

config.json      the complete recipe, versions, seed, git commit, command line
metrics.jsonl    one line per logged step
results.json     at the end
checkpoints/     train/  eval/  saved_model/  model.keras  report/

A task may add further files (`Task.assets`, `Evaluation.assets`).
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from flags import catalog, folders, overrides
from flags.errors import UserError
from flags.recipe import Experiment
from trainers.run.files import write_bytes, write_json, write_text
from trainers.run.locks import locked


class RunFolder:
    """The directory of one run, and the paths in it."""

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.results = self.path / "results.json"
        self.checkpoints = self.path / "checkpoints"
        self.train_events = self.path / "train"
        self.eval_events = self.path / "eval"
        self.saved_model = self.path / "saved_model"
        self.keras_model = self.path / "model.keras"

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Locks the folder for writing (`trainers.run.locks`)."""
        return locked(self.path)

    def holds(self, recipe: Experiment, settings: Mapping[str, Any]) -> bool:
        """Whether the folder contains a run of this recipe, to be resumed.

        Args:
            settings: the settings besides the recipe that affect a run's numbers: data, seed, precision.

        Raises:
            UserError: the folder contains another recipe; the message lists the differences.
        """
        config = folders.read_config(self.path)
        if config is None:
            return False
        own = overrides.flatten(catalog.variant(catalog.get(recipe.name), settings["data"]))
        different = folders.differences(config, settings, overrides.flatten(recipe), own)
        if different:
            raise UserError(
                f"--model_dir={self.path} contains a run with another recipe: {'; '.join(different)}. "
                "Give another --model_dir, or the flags of that run."
            )
        return True

    def claim(self, recipe: Experiment, settings: Mapping[str, Any]) -> None:
        """Writes `config.json`, which assigns this folder to a run of `recipe`."""
        write_json(
            self.config,
            {
                "experiment": recipe.name,
                **settings,
                "recipe": overrides.flatten(recipe),
                "versions": {name: importlib.metadata.version(name) for name in PACKAGES}
                | {"python": platform.python_version()},
                "git_commit": _git_commit(),
                "command": sys.argv,
                "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            },
        )

    def write_assets(self, assets: Mapping[str, bytes]) -> None:
        """Writes files by name, each atomically."""
        for name, content in assets.items():
            write_bytes(self.path / name, content)

    def log(self, step: int, split: str, numbers: Mapping[str, float]) -> None:
        """Appends a line to `metrics.jsonl`."""
        with open(self.metrics, "a") as file:
            file.write(json.dumps({"step": step, "split": split, **numbers}) + "\n")

    def read_metrics(self) -> list[dict]:
        """All complete lines of `metrics.jsonl`."""
        if not self.metrics.exists():
            return []
        rows = []
        for line in self.metrics.read_text().splitlines():
            with contextlib.suppress(ValueError):  # a line truncated by a kill
                rows.append(json.loads(line))
        return rows

    def forget_after(self, step: int) -> None:
        """Drops logged lines after `step`; the resumed run will write them again."""
        rows = [row for row in self.read_metrics() if row["step"] <= step]
        write_text(self.metrics, "".join(json.dumps(row) + "\n" for row in rows))


PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy")


@functools.cache
def _git_commit() -> str | None:
    """The commit of this project's checkout; None outside a checkout."""
    here = pathlib.Path(__file__).parent
    try:
        return subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None

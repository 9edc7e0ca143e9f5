"""What a figure needs of a finished run's model besides its logs: declared by a paper's package, kept in RUN/report."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any

from trainers.figures.records import Record
from trainers.run.files import write_json
from trainers.run.folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Measurement:
    """A measurement of a finished run's model."""

    name: str  # in `Record.measured`, and of its file: RUN/report/NAME.json
    key: str  # of that file
    module: str  # whose `measure(task, strategy, model)` returns numbers that JSON has
    figure: str
    is_shown: Callable[[Record], bool]  # whether the figure has a place for a run

    def path(self, folder: pathlib.Path) -> pathlib.Path:
        return folder / "report" / f"{self.name}.json"

    def read(self, folder: pathlib.Path) -> Any | None:
        """What an earlier report measured with the model that is in the folder; else None."""
        try:
            kept = json.loads(self.path(folder).read_text())
            return dict(kept[self.key]) if kept["model"] == stamp(folder) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, folder: pathlib.Path, value: Any, model: dict[str, int]) -> None:
        """Writes what was measured with the model of this stamp."""
        path = self.path(folder)
        path.parent.mkdir(exist_ok=True)
        write_json(path, {"model": model, self.key: value})


def stamp(folder: pathlib.Path) -> dict[str, int]:
    """Changes whenever the model of a run is written anew: time (ns) and size (bytes) of its file."""
    stat = RunFolder(folder).keras_model.stat()
    return {"mtime_ns": stat.st_mtime_ns, "size": stat.st_size}

"""Reads the runs of a report from their folders; damaged files count as missing."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Iterable

from flags import catalog, folders, overrides
from flags.errors import UserError
from trainers.figures import papers
from trainers.figures.records import Data, Record
from trainers.run.files import matching
from trainers.run.folder import RunFolder


def find(patterns: Iterable[str]) -> list[pathlib.Path]:
    """The folders of runs (those with a config.json) that match glob patterns, each once.

    Raises:
        UserError: a pattern matches none.
    """
    found: dict[pathlib.Path, pathlib.Path] = {}
    for pattern in patterns:
        matches = matching(pattern)
        folders = [match for match in matches if RunFolder(match).config.is_file()]
        if not folders:
            there = "matches no folder" if not matches else "matches no folder of a run (one with a config.json)"
            raise UserError(f"--runs={pattern}: {there}. Quote the pattern, for instance --runs='runs/*/sample'.")
        for folder in folders:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def read(folder: pathlib.Path) -> Record:
    """Reads the run in a folder; damaged results count as none, and `damage` says so.

    Raises:
        UserError: its config cannot be read, or names an experiment that is not known here.
    """
    files = RunFolder(folder)
    config = folders.read_config(folder)
    if config is None:
        raise UserError(f"{folder}: no run is there (no config.json). Name the folder of a run.")
    try:
        recipe = dict(config["recipe"])
        data = Data(str(recipe["data.name"]), str(config["data"]))
        seed, changed = int(config["seed"]), tuple(map(str, config["overrides"]))
        experiment, _ = str(config["experiment"]), int(recipe["train.eval_every"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{files.config}: not the config of a run ({error!r}). Train the run anew.") from None
    if experiment not in catalog.names():
        raise UserError(f"{folder}: its experiment {experiment} is not one of this version.")
    rows, damaged_rows = _rows(files)
    results, damaged_results = _results(files.results)
    own = overrides.flatten(catalog.variant(catalog.get(experiment), data.variant))
    recipe = folders.updated(recipe, own, config.get("init_from"))
    settings = {**recipe, "precision": config.get("precision"), "init_from": config.get("init_from")}
    return Record(
        folder=folder,
        experiment=catalog.get(experiment),
        data=data,
        seed=seed,
        settings=settings,
        overrides=changed,
        rows=rows,
        results=results,
        measured=_measured(folder),
        damage="; ".join(filter(None, (damaged_rows, damaged_results))),
    )


def _measured(folder: pathlib.Path) -> dict:
    """What earlier reports measured with the model that is in the folder, by name."""
    found = {measurement.name: measurement.read(folder) for measurement in papers.measurements()}
    return {name: value for name, value in found.items() if value is not None}


def _results(path: pathlib.Path) -> tuple[dict | None, str]:
    try:
        results = json.loads(path.read_text())
        for metrics in (value for name, value in results.items() if name == "fit" or name.startswith("metrics")):
            if not all(map(_is_number, metrics.values())):
                raise ValueError("its metrics are not all numbers")
        results["metrics"]
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return None, f"{path} cannot be read ({error}); treated as unfinished"
    return results, ""


def _rows(files: RunFolder) -> tuple[tuple[dict, ...], str]:
    """The lines of metrics.jsonl that have a step and a split, with the numbers in them that are finite."""
    try:
        lines = files.read_metrics()
    except (OSError, ValueError) as error:
        return (), f"{files.metrics} cannot be read ({error})"
    whole = [row for row in lines if isinstance(row, dict) and isinstance(row.get("step"), int) and "split" in row]
    return tuple({"split": row["split"]} | {n: v for n, v in row.items() if _is_number(v)} for row in whole), ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)

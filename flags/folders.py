"""Default run directories, and the only reader of a run's `config.json`."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from flags import flag_table, overrides
from flags.errors import UserError

# Fields that older recipes had for every task -> the value with which the field has no effect.
RETIRED = {
    "train.label_smoothing": 0.0,
    "train.micro_batches": 1,
    "train.batch_norm_batch": None,
    "train.exact_bn_statistics": False,
    "train.measure_fit": False,
    "train.eval_batch": 512,
}


def default_folder(experiment: str, data: str) -> pathlib.Path:
    return pathlib.Path("runs", experiment, data)


def is_sweep(folder: pathlib.Path) -> bool:
    """Whether the folder holds a sweep."""
    return (folder / "sweep.json").is_file()


def read_config(folder: pathlib.Path) -> dict[str, Any] | None:
    """Reads a run's `config.json`; None if it does not exist.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text())
        kinds = {"experiment": str, "overrides": list, "seed": int, "recipe": dict}
        wrong = [name for name, kind in kinds.items() if not isinstance(config[name], kind)]
        if wrong or config["data"] not in flag_table.DATA or not all(isinstance(x, str) for x in config["overrides"]):
            raise ValueError(f"invalid {', '.join(wrong) or 'data or overrides'}")
        return config
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not the config.json of a run ({error!r}). Give another --model_dir.") from None


def find_run(given: Mapping[str, Any], mode: str) -> pathlib.Path | None:
    """The folder of the finished run that the flags name; None if only the experiment is known."""
    if "model_dir" in given:
        folders = [pathlib.Path(given["model_dir"])]
    elif "experiment" in given:
        variants = flag_table.DATA if given.get("data", "auto") == "auto" else (given["data"],)
        folders = [default_folder(given["experiment"], data) for data in variants]
    else:
        raise UserError(f"--mode={mode} needs a run: give --model_dir=DIR or --experiment=NAME.")
    found = [folder for folder in folders if (folder / "config.json").is_file()]
    if len(found) > 1:
        names = " or ".join(f"--model_dir={folder}" for folder in found)
        raise UserError(f"--mode={mode}: {given['experiment']} has {len(found)} runs. Choose one with {names}.")
    if not found and "experiment" not in given:
        raise UserError(f"--model_dir={folders[0]}: contains no run (no config.json). Give the folder of a run.")
    return found[0] if found else None


def with_run(given: Mapping[str, Any], mode: str) -> dict[str, Any]:
    """Completes the given flags from the finished run's `config.json`; --set is applied after the run's own."""
    folder = find_run(given, mode)
    if folder is None:
        return dict(given)
    config = read_config(folder)
    for name in ("experiment", "data"):
        if given.get(name, config[name]) not in (config[name], "auto"):
            raise UserError(
                f"--{name}={given[name]}: the run in {folder} has --{name}={config[name]}. "
                f"Remove --{name}, or give another --model_dir."
            )
    settings = {"experiment": config["experiment"], "data": config["data"], "model_dir": str(folder)}
    overridden = [*config["overrides"], *given.get("set", ())]
    return {"seed": config["seed"], **given, **settings, "set": overridden}


def differences(
    config: Mapping[str, Any], settings: Mapping[str, Any], recipe: Mapping[str, Any], own: Mapping[str, Any]
) -> list[str]:
    """One line for each difference between a run and the one described by a `config.json`.

    Files of older versions can be compared: a removed field counts only where it had an effect, and a new field has the
    experiment's own value.

    Args:
        settings: the settings besides the recipe that affect a run's numbers: data, seed, precision.
        recipe: the new run's recipe, flattened.
        own: the experiment's recipe before --set, flattened.
    """
    compared = {name: value for name, value in settings.items() if name != "overrides"}  # they show in the recipe
    before = updated(config["recipe"], own, config.get("init_from"))
    return overrides.difference({name: config.get(name) for name in compared} | before, {**compared, **recipe})


def updated(recipe: Mapping[str, Any], own: Mapping[str, Any], init_from: str | None = None) -> dict[str, Any]:
    """A flat recipe from a file of any version, with the fields of this version.

    Removed fields that had no effect are left out; new fields have the experiment's own values.

    Args:
        own: the experiment's recipe before --set, flattened.
        init_from: as in files of versions whose recipes did not have it.
    """
    known = {path: value for path, value in recipe.items() if path in own or (path, value) not in RETIRED.items()}
    added = {path: value for path, value in own.items() if _is_new(path) and path not in recipe}
    if "init.path" in added:
        added["init.path"] = init_from
    return {**known, **added}


def _is_new(path: str) -> bool:
    """Whether runs of version 0.1.0 do not have the field."""
    return path in ("optimizer", "schedule") or path.startswith("init.")

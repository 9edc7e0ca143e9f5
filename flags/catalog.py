"""Experiments by name: list them, look one up, adapt it to the data it runs on."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Literal

from flags import overrides, tasks
from flags.errors import UserError
from flags.nearest import near
from flags.papers import MODULES
from flags.recipe import Experiment

Data = Literal["paper", "sample", "synthetic"]

_recipes: dict[str, Callable[[], Experiment]] = {}
_modules: dict[str, str] = {}  # name -> the module that registered it


def register(name: str, recipe: Callable[[], Experiment]) -> None:
    """Registers `recipe`, a function that returns the `Experiment` called `name`."""
    if name in _recipes:
        raise ValueError(f"experiment: {name!r} is registered already")
    _recipes[name] = recipe
    _modules[name] = recipe.__module__


def experiment(recipe: Callable[[], Experiment]) -> Callable[[], Experiment]:
    """Registers a function that returns an `Experiment` of the function's own name."""
    register(recipe.__name__, recipe)
    return recipe


def names() -> list[str]:
    """Returns the names of all experiments, paper by paper in the paper's order, then those of other modules."""
    places = {importlib.import_module(f"flags.papers.{name}").__name__: place for place, name in enumerate(MODULES)}
    return sorted(_recipes, key=lambda name: places.get(_modules[name], len(places)))  # independent of import order


def get(name: str) -> Experiment:
    """Returns the experiment of that name with the paper's settings.

    Raises:
        UserError: the name is unknown; the message suggests similar names.
    """
    known = names()
    if name not in known:
        raise UserError(f"--experiment={name}: no such experiment. {near(name, known)}See --list_experiments.")
    return _recipes[name]()


def paper_of(name: str) -> str:
    """Returns the name of the `flags.papers` module that registers an experiment, such as "resnet"."""
    names()
    return _modules[name].rpartition(".")[2]


def by_paper() -> dict[str, list[Experiment]]:
    """Returns all experiments, grouped by their paper's citation."""
    groups: dict[str, list[Experiment]] = {}
    for name in names():
        found = get(name)
        groups.setdefault(found.paper.citation, []).append(found)
    return groups


def variant(experiment: Experiment, data: Data) -> Experiment:
    """Returns the variant of `experiment` for the paper's data set, the embedded sample, or synthetic data.

    The variant's deviations (what it changes and why) precede those of the paper's recipe.
    """
    if data == "paper":
        return experiment
    if data == "sample":
        changes, reasons = experiment.sample, experiment.sample_deviations
    else:
        changes, reasons = (
            experiment.synthetic,
            (f"Synthetic data: {tasks.get(experiment.task).synthetic}. Only speed means anything.",),
        )
    changed = overrides.apply(experiment, changes.items())
    deviations = (*reasons, *experiment.deviations)
    return dataclasses.replace(changed, deviations=deviations, sweep=experiment.sample_sweep)

"""The registry of task classes (`trainers.tasks.task.Task`) by name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from flags.recipe import Experiment

if TYPE_CHECKING:
    from trainers.tasks.task import Task

_CLASSES = {
    "classification": "trainers.tasks.images.in_memory:InMemoryClassification",
    "least_squares": "trainers.tasks.images.least_squares:LeastSquares",
    "language_modelling": "trainers.tasks.text.task:LanguageModelling",
    "translation": "trainers.tasks.translation.task:Translation",
    "regression": "trainers.tasks.regression.task:Regression",
}


def register(name: str, place: str) -> None:
    """Registers a task. `place` is "package.module:Class"; the module is imported on first use."""
    if name in _CLASSES:
        raise ValueError(f"task: {name!r} is registered already")
    _CLASSES[name] = place


def task_class(recipe: Experiment) -> type[Task]:
    """Returns the task class of a recipe."""
    module, _, name = _CLASSES[recipe.task].partition(":")
    return getattr(importlib.import_module(module), name).of(recipe)

"""Tasks: what the loop needs to know of one kind of problem (loss, metrics, inputs), and nothing more."""

from __future__ import annotations

import numpy as np

from flags.recipe import Experiment
from trainers.tasks.classification import Classification

TASKS = {"classification": Classification}


def build_task(recipe: Experiment, *, num_classes: int, class_names: list[str], mean_image: np.ndarray | None = None):
    """The task that a recipe names, for a data set with these classes and, where the recipe wants it, a mean image."""
    return TASKS[recipe.task](recipe, num_classes=num_classes, class_names=class_names, mean_image=mean_image)

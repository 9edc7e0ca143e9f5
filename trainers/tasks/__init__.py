"""Tasks: what the loop needs to know of one kind of problem (loss, metrics, inputs), and nothing more."""

from __future__ import annotations

import numpy as np

from flags.recipe import Experiment
from trainers.tasks.classification import Classification
from trainers.tasks.language_modelling import LanguageModelling


def build_task(recipe: Experiment, dataset, mean_image: np.ndarray | None = None) -> Classification | LanguageModelling:
    """The task that a recipe names, on a data set and, where the recipe wants it, with a mean image."""
    if recipe.task == "language_modelling":
        return LanguageModelling(recipe, dataset)
    return Classification(
        recipe, num_classes=dataset.num_classes, class_names=list(dataset.class_names), mean_image=mean_image
    )

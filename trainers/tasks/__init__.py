"""Tasks: what the loop needs to know of one kind of problem (loss, metrics, inputs), and nothing more."""

from __future__ import annotations

import numpy as np

from flags.data import SmallImages
from flags.recipe import Experiment
from trainers.run.folder import RunFolder
from trainers.tasks.images.classification import Classification
from trainers.tasks.images.in_memory import InMemoryClassification
from trainers.tasks.images.least_squares import LeastSquares
from trainers.tasks.regression.task import Regression
from trainers.tasks.task import Task
from trainers.tasks.text.task import LanguageModelling
from trainers.tasks.translation.task import Translation


def build_task(
    recipe: Experiment,
    dataset,
    *,
    seed: int,
    mean_image: np.ndarray | None = None,
    kept: RunFolder | None = None,
    is_dry: bool = False,
) -> Task:
    """The task that a recipe names, on a data set and, where the recipe wants it, with a mean image.

    Args:
        seed: of the order of training examples, and of what is random in them.
        kept: the folder of the run that is gone on with, or looked at; None: what it would have is made.
        is_dry: whether the data set may be one that is not there.
    """
    if recipe.task == "language_modelling":
        return LanguageModelling(recipe, dataset)
    if recipe.task == "regression":
        return Regression(recipe, dataset)
    if recipe.task == "least_squares":
        return LeastSquares(recipe, dataset, seed=seed)
    if recipe.task == "translation":
        return Translation(recipe, dataset, seed=seed, kept=kept, is_dry=is_dry)
    if isinstance(recipe.data, SmallImages):
        return InMemoryClassification(recipe, dataset, seed=seed)
    return Classification(recipe, dataset, seed=seed, mean_image=mean_image)

"""Gaussian inputs with linear targets, generated in memory (Heckel & Yilmaz 2020, section 3)."""

from __future__ import annotations

import dataclasses

import numpy as np

from flags.data import LinearData
from flags.errors import UserError
from trainers.data.sources import GeneratedSource

NAME = "linear_data"
COEFFICIENTS, TRAIN, NOISE, TEST = 1, 2, 3, 4  # purpose of a generator; part of its seed


def find(name: str) -> GeneratedSource:
    """Returns the data set called `name`.

    Raises:
        UserError: the name is not `NAME`.
    """
    if name != NAME:
        raise UserError(f"data.name={name}: this experiment generates its data. Set data.name={NAME}.")
    return GeneratedSource(name)


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Examples of a split."""

    inputs: np.ndarray  # [examples, dimension], float32
    targets: np.ndarray  # [examples, 1], float32

    @property
    def num_examples(self) -> int:
        return len(self.inputs)


class LinearDataSet:
    """The data set described by `flags.data.LinearData`. Splits: train, test.

    The coefficients are N(0, 1). For one seed, a smaller training set is contained in a larger one.
    """

    name = NAME

    def __init__(self, recipe: LinearData, *, seed: int):
        self._recipe = recipe
        self._seed = seed if recipe.data_seed is None else recipe.data_seed
        self._scales = np.geomspace(recipe.smallest_scale, recipe.largest_scale, recipe.dimension)
        self._coefficients = self._draws(COEFFICIENTS, recipe.dimension, 1)

    def split(self, expression: str) -> Pairs:
        """The examples of a split.

        Raises:
            UserError: the split does not exist.
        """
        if expression == "train":
            noise = self._recipe.noise * self._draws(NOISE, self._recipe.num_train, 1)
            return self._pairs(self._draws(TRAIN, self._recipe.num_train, self._recipe.dimension), noise)
        if expression == "test":
            return self._pairs(self._draws(TEST, self._recipe.num_test, self._recipe.dimension), 0.0)
        raise UserError(f"split {expression!r} of {NAME}: no such split. Splits: train, test.")

    def _pairs(self, draws: np.ndarray, noise: np.ndarray | float) -> Pairs:
        inputs = draws * self._scales
        targets = inputs @ self._coefficients + noise
        return Pairs(inputs.astype(np.float32), targets.astype(np.float32))

    def _draws(self, purpose: int, rows: int, columns: int) -> np.ndarray:
        return np.random.default_rng([purpose, self._seed]).standard_normal((rows, columns))

"""Run folders with made-up numbers, written as a run writes them."""

import numpy as np

from flags import catalog, overrides
from trainers.figures import measurements, papers
from trainers.run.files import write_json
from trainers.run.folder import RunFolder


def write_folder(path, experiment, *, data="paper", seed=0, changes=(), settings=None, rows=(), results=None):
    """Writes the folder of a run and returns its path.

    Args:
        changes: of the recipe, as --set takes them; the run records that --set changed them.
        settings: fields of the recipe by path, replaced without a record of --set.
        rows: (step, split, numbers) of metrics.jsonl.
        results: the content of results.json; None: the run is unfinished.
    """
    recipe = catalog.variant(catalog.get(experiment), data)
    recipe = overrides.apply(recipe, [*overrides.parse(changes, recipe).items(), *(settings or {}).items()])
    folder = RunFolder(path)
    path.mkdir(parents=True)
    folder.claim(
        recipe,
        {"data": data, "overrides": list(changes), "seed": seed, "precision": "float32", "init_from": None},
    )
    for step, split, numbers in rows:
        folder.log(step, split, numbers)
    if results is not None:
        write_json(folder.results, results)
    return path


def write_measurement(path, name, value):
    """Adds a model to a run's folder, and what an earlier report measured with it."""
    RunFolder(path).keras_model.write_text("weights")
    (measurement,) = [each for each in papers.measurements() if each.name == name]
    measurement.keep(path, value, measurements.stamp(path))


def write_predictions(path, classes, labels=None):
    """Adds the predictions of a run on its test split."""
    np.savez(path / "predictions.npz", classes=classes, **({} if labels is None else {"labels": labels}))

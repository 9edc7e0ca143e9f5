"""Trials of a sweep with made-up numbers, in the true format."""

import json

import numpy as np

from flags import catalog, overrides

MLP = "dd_mlp_mnist"
STEPS = (1, 10, 100)
TEST = {1: 40, 2: 20, 4: 30, 8: 10}  # width -> test error in %, with a peak at 4
FIT = {1: 45, 2: 25, 4: 9, 8: 0.5}  # width -> training error in %
OF_MLP = f"{MLP}_digits_sample"


def write_trial(
    sweep, *, test, fit, seed=0, experiment=MLP, finished=True, classes=None, labels=None, metrics=None, **settings
):
    """Writes a trial's folder in the true format and returns its path.

    `test` and `fit` are errors in % by step, the last ones those of the results; `settings` are fields of the recipe
    that replace its own, whatever the experiment has.
    """
    name = "-".join(f"{path.rpartition('.')[2]}{value}" for path, value in settings.items())
    folder = sweep / f"{name}-seed{seed}"
    folder.mkdir(parents=True)
    recipe = overrides.flatten(catalog.variant(catalog.get(experiment), "sample")) | settings
    config = {
        "experiment": experiment, "data": "sample", "overrides": [], "seed": seed, "precision": "float32",
        "init_from": None, "recipe": recipe,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    rows = [
        {"step": step, "split": split, "top1": 1 - error / 100, "loss": error / 20 + 0.01, "seconds": 0.1 * step}
        for split, errors in (("train", test), ("eval", test), ("fit", fit))
        for step, error in errors.items()
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if finished:
        tested, fitted = (list(errors.values())[-1] for errors in (test, fit))
        results = {
            "parameters": 795 * settings.get("model.k", 1) + 10, "steps": STEPS[-1], "seconds": 60,
            "metrics": {"top1": 1 - tested / 100, "loss": tested / 20 + 0.01, "examples": 100} | (metrics or {}),
            "fit": {
                "top1": 1 - fitted / 100, "top1_clean": 1 - fitted / 200, "loss": fitted / 20 + 0.01,
                "examples": settings.get("data.num_train") or 4000,
            } | (metrics or {}),
        }  # fmt: skip
        (folder / "results.json").write_text(json.dumps(results))
    if classes is not None:
        np.savez(folder / "predictions.npz", classes=classes, **({} if labels is None else {"labels": labels}))
    return folder


def write_widths(sweep, *, seeds=(0,), test=TEST, fit=FIT, path="model.k", **more):
    """Writes a trial of each width and seed; seed s has s points more error than seed 0."""
    return [
        write_trial(
            sweep,
            test={step: test[width] + late + seed for step, late in zip(STEPS, (30, -5, 0))},
            fit={step: fit[width] + late for step, late in zip(STEPS, (40, 10, 0))},
            seed=seed,
            **{path: width},
            **more,
        )
        for width in test
        for seed in seeds
    ]

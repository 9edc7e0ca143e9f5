"""Trials of a sweep with made-up numbers."""

from tests.trainers.figures.run_folders import write_folder, write_predictions

MLP = "dd_mlp_mnist"
STEPS = (1, 10, 100)
TEST = {1: 40, 2: 20, 4: 30, 8: 10}  # width -> test error in %, with a peak at 4
FIT = {1: 45, 2: 25, 4: 9, 8: 0.5}  # width -> training error in %
OF_MLP = f"{MLP}_digits_sample"


def write_trial(
    sweep, *, test, fit, seed=0, experiment=MLP, finished=True, classes=None, labels=None, metrics=None, **settings
):
    """Writes a trial's folder and returns its path.

    `test` and `fit` are errors in % by step, the last ones those of the results; `settings` are fields of the recipe by
    path that replace its own.
    """
    name = "-".join(f"{path.rpartition('.')[2]}{value}" for path, value in settings.items())
    rows = [
        (step, split, {"top1": 1 - error / 100, "loss": error / 20 + 0.01, "seconds": 0.1 * step})
        for split, errors in (("train", test), ("eval", test), ("fit", fit))
        for step, error in errors.items()
    ]
    folder = write_folder(
        sweep / f"{name}-seed{seed}",
        experiment,
        data="sample",
        seed=seed,
        settings=settings,
        rows=rows,
        results=_results(test, fit, metrics or {}, settings) if finished else None,
    )
    if classes is not None:
        write_predictions(folder, classes, labels)
    return folder


def _results(test, fit, metrics, settings):
    tested, fitted = (list(errors.values())[-1] for errors in (test, fit))
    return {
        "parameters": 795 * settings.get("model.k", 1) + 10, "steps": STEPS[-1], "seconds": 60,
        "metrics": {"top1": 1 - tested / 100, "loss": tested / 20 + 0.01, "examples": 100} | metrics,
        "fit": {
            "top1": 1 - fitted / 100, "top1_clean": 1 - fitted / 200, "loss": fitted / 20 + 0.01,
            "examples": settings.get("data.num_train") or 4000,
        } | metrics,
    }  # fmt: skip


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

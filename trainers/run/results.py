"""The results of a run: results.json, and its summary on the console."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tf_models import inspection
from trainers.run.console import duration
from trainers.run.folder import RunFolder
from trainers.tasks.task import Task

OTHER_METRICS = {  # metrics without one of the recipe's final steps -> their label in the summary
    "metrics_without_average": "not averaged",
    "metrics_with_moving_statistics": "moving BN",
}


def results_of(
    task: Task, model: keras.Model, numbers: Mapping[str, Any], *, variant: str, selected_step: int, seconds: float
) -> dict[str, Any]:
    """The content of results.json.

    Args:
        numbers: `metrics` on the test split and, if measured, those of `OTHER_METRICS`, `fit`, and the extras of the
            evaluation.
        selected_step: the step of the checkpoint in use.
        seconds: duration of training.
    """
    recipe = task.recipe
    return {
        "experiment": recipe.name,
        "data": variant,
        "test_protocol": task.test_protocol,
        **numbers,
        **task.summary,
        "selected_step": selected_step,
        "paper": {"citation": recipe.paper.citation, "row": recipe.paper.row, **recipe.paper.numbers},
        "deviations": list(recipe.deviations),
        "parameters": inspection.parameters(model).trainable,
        "multiply_adds": inspection.multiply_adds(model),
        "steps": task.length.total,
        "seconds": round(seconds, 1),
    }


def summary(task: Task, folder: RunFolder, results: Mapping[str, Any], *, extras: str, difference: float | None) -> str:
    """Formats the summary that is printed at the end of a run.

    Args:
        extras: formatted extras of the evaluation.
        difference: between the outputs of SavedModel and live model; None if no SavedModel was written.
    """
    recipe, names, units = task.recipe, task.result_names, f"{task.unit}s"
    metrics, paper = results["metrics"], results["paper"]
    printed = ", ".join(f"{name} {paper[name]:.3f}" for name in names if name in paper)
    printed = f"{printed} on its own data" if printed else "no number"
    lines = [
        "",
        f"{recipe.name} on {recipe.data.name}, {recipe.data.test_split}, "
        f"{results['test_protocol'].replace('_', ' ')}: {_shown(metrics, names)} "
        f"({metrics[units]:,} {units}, {results['steps']} steps, {duration(results['seconds'])})",
        *(f"  {label:12} {_shown(results[key], names)}" for key, label in OTHER_METRICS.items() if key in results),
    ]
    if "fit" in results:
        clean = results["fit"].get("top1_clean")
        by_true = "" if clean is None else f"; top1 by the true labels {clean:.4f}"
        lines.append(f"  on training  {_shown(results['fit'], names)}{by_true}")
    if extras:
        lines.append(extras)
    lines += [
        f"  the paper   {printed} ({recipe.paper.row})",
        f"  curves      tensorboard --logdir {shlex.quote(str(folder.path))}",
    ]
    if difference is not None:
        lines.append(f"  SavedModel  {folder.saved_model}  (differs from the live model by at most {difference:.0e})")
    return "\n".join([*lines, f"  Keras file  {folder.keras_model}", f"  results     {folder.results}"])


def _shown(metrics: Mapping[str, float], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {metrics[name]:.4f}" for name in names if name in metrics)

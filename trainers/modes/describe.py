"""`--mode=describe`: a dry run that shows the network, its size, the data and the learning rates."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from flags import metrics
from flags.run import Run
from tf_models import inspection
from trainers.loop.state import TrainState
from trainers.run import strategy as strategies
from trainers.session import Session, open_session
from trainers.tasks.description import Description, aligned

SHOWN_DECAYS = 3  # at either end of the run


def describe(run: Run) -> None:
    """Prints layers, counts, memory, steps, learning rates, data and deviations; trains nothing."""
    session = open_session(run, dry=True)
    state = session.build_state()
    description = session.task.describe(state, session.replicas)
    collected = collect(session, state, description)
    if run.json:
        print(json.dumps(collected))
        return
    print(_text(session, state.model, description, collected))


def collect(session: Session, state: TrainState, description: Description) -> dict[str, Any]:
    """Collects all numbers and names of the description.

    `epochs` is None if it depends on data that is not available. `parameter_counts` are the network's parameters as its
    paper counts them, by label. Multiply-adds are per example, or per `unit` if the description has one.
    """
    recipe, model, length = session.recipe, state.model, session.task.length
    parameters = inspection.parameters(model)
    marks = state.schedule.marked_steps(length.total) if state.schedule is not None else []
    source = session.source
    return {
        "experiment": recipe.name,
        "summary": recipe.summary,
        "paper": {"citation": recipe.paper.citation, "row": recipe.paper.row, **recipe.paper.numbers},
        "parameters": parameters.trainable,
        "non_trainable": parameters.non_trainable,
        "parameter_counts": inspection.parameter_notes(model),
        "multiply_adds": inspection.multiply_adds(model),
        "micro_batch": description.examples,
        "memory_mb": memory_mb(session, state, description),
        "steps": length.total,
        "epochs": None if math.isnan(length.per_epoch) else length.total / length.per_epoch,
        "lr": {str(step): rate for step, _, rate in marks},
        "lr_labels": {str(step): label for step, label, _ in marks},
        "data": {"name": source.name, "prepared": source.is_prepared, "how": source.location},
        "devices": strategies.describe(session.strategy, session.precision),
        "deviations": list(recipe.deviations),
        **description.facts,
    }


def memory_mb(session: Session, state: TrainState, description: Description) -> dict[str, float]:
    """Estimates the memory of one training step on one device, in MiB.

    Weights, gradients, optimizer slots, weight average and the task's own parts are exact; the activations needed by
    the backward pass are counted by `inspection.activation_bytes`. Temporary memory of kernels is not included.
    """
    compute_bytes = 4 if session.precision == "float32" else 2
    activations = inspection.activation_bytes(state.model, description.examples, compute_bytes, description.positions)
    parts = {
        "weights": _bytes(state.model.weights),
        "gradients": _bytes(state.model.trainable_weights) if state.optimizer is not None else 0,
        "optimizer": _bytes(state.optimizer.variables) if state.optimizer is not None else 0,
        "weight_average": _bytes(state.average.variables) if state.average is not None else 0,
        "activations": activations,
        **{name: size for name, (size, _) in description.memory.items()},
    }
    return {name: size / 2**20 for name, size in (parts | {"total": sum(parts.values())}).items()}


def _bytes(variables) -> int:
    return sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables)


def _text(session: Session, model: keras.Model, description: Description, collected: Mapping[str, Any]) -> str:
    recipe, paper = session.recipe, session.recipe.paper.numbers
    heading = f"output of T {description.per}s" if description.per else "output"
    sections = [
        f"{recipe.name}: {recipe.summary}\n{recipe.paper.citation}, {recipe.paper.row}",
        aligned([("layer", "type", heading, "parameters", "multiply-adds"), *_layer_rows(model)]),
        aligned([("", "here", "paper"), *_metric_rows(paper), *_count_rows(paper, description, collected)]),
        _memory(description, collected["memory_mb"]),
        description.length,
        "learning rate\n" + ("\n".join(_rate_lines(collected)) or "  none: the weights are solved in closed form"),
        f"data  {collected['data']['name']}: {collected['data']['how']}",
        f"devices  {collected['devices']}",
        "deviations from the paper\n" + "\n".join(f"  - {line}" for line in collected["deviations"]),
    ]
    return "\n\n".join(sections)


def _metric_rows(paper: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """The paper's results per protocol; this column is empty, since nothing was trained."""
    known = [metrics.get(name) for name in paper if name in metrics.METRICS]
    return [(metric.label, "see --mode=train", metric.format(paper[metric.name])) for metric in known]


def _count_rows(
    paper: Mapping[str, float], description: Description, collected: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    """Parameters and multiply-adds; the paper's number of parameters is in the row of the same count."""
    printed = f"{paper['parameters'] / 1e6:.3g}M" if "parameters" in paper else "-"
    adds = f"{paper['multiply_adds'] / 1e9:.3g}B" if "multiply_adds" in paper else "-"
    counted, trained = collected["parameter_counts"], f"{collected['parameters']:,}"
    if collected["non_trainable"]:
        trained += f" (and {collected['non_trainable']:,} {description.untrained})"
    rows = [("parameters", trained, "-" if counted else printed)]
    rows += [(f"  {label}", f"{count:,}", "-") for label, count in counted.items()]
    if counted:  # the last entry is the paper's way of counting
        rows[-1] = (*rows[-1][:2], printed)
    per = f" per {description.per}" if description.per else ""
    return [*rows, (f"multiply-adds{per}", f"{collected['multiply_adds']:,}", adds)]


def _memory(description: Description, parts: Mapping[str, float]) -> str:
    notes = {name: f"  {note}" for name, (_, note) in description.memory.items()}
    lines = [f"  {name.replace('_', ' '):15} {size:12,.0f}{notes.get(name, '')}" for name, size in parts.items()]
    heading = f"memory of one step and device, {description.batch}, estimated (MiB); {description.remedy}"
    return "\n".join([heading, *lines])


def _layer_rows(model: keras.Model) -> list[tuple[str, ...]]:
    return [
        (
            row.name,
            row.type,
            "x".join("T" if n is None else str(n) for n in row.output_shape[1:]),
            f"{row.parameters:,}",
            f"{row.multiply_adds:,}",
        )
        for row in inspection.layer_table(model)
    ]


def _rate_lines(collected: Mapping[str, Any]) -> list[str]:
    """The marked steps, shortened to the first and last few decays."""
    labels = collected["lr_labels"]
    lines = [f"  step {int(step):>9,}  {rate:<12.6g} {labels[step]}" for step, rate in collected["lr"].items()]
    most = 2 * SHOWN_DECAYS + 4
    if len(lines) <= most:
        return lines
    return [*lines[: most // 2], f"  ... {len(lines) - most} more", *lines[-(most // 2) :]]

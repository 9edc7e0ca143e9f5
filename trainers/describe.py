"""`--mode=describe`: a dry run. What would be trained, how large it is, on which data, at which learning rates."""

from __future__ import annotations

import json
import math

import keras
import tensorflow as tf

from flags.run import Run
from tf_models import inspection
from trainers import strategy as strategies
from trainers.build import build_state
from trainers.data import sources, synthetic
from trainers.session import Session, open_session

SHOWN_DECAYS = 3  # at either end of the run


def describe(run: Run) -> None:
    """Prints layers, counts, memory, steps, learning rates, data and deviations; trains nothing."""
    session = open_session(run, dry=True)
    state = build_state(session)
    facts = collect(session, state)
    if run.json:
        print(json.dumps(facts))
        return
    print(_text(session, state.model, facts))


def collect(session: Session, state) -> dict:
    """Everything of the description that is a number or a name."""
    recipe, model = session.recipe, state.model
    parameters = inspection.parameters(model)
    marks = state.schedule.marked_steps(session.total_steps)
    return {
        "experiment": recipe.name,
        "summary": recipe.summary,
        "paper": {"citation": recipe.paper.citation, "row": recipe.paper.row, **recipe.paper.numbers},
        "parameters": parameters.trainable,
        "non_trainable": parameters.non_trainable,
        "multiply_adds": inspection.multiply_adds(model),
        "micro_batch": session.examples_at_once,
        "memory_mb": memory_mb(session, state),
        "steps": session.total_steps,
        "epochs": session.total_steps / recipe.train.steps_per_epoch(session.examples_per_epoch),
        "lr": {str(step): rate for step, _, rate in marks},
        "lr_labels": {str(step): label for step, label, _ in marks},
        "data": _data(session),
        "devices": strategies.describe(session.strategy, session.precision),
        "deviations": list(recipe.deviations),
    }


def memory_mb(session: Session, state) -> dict[str, float]:
    """An estimate of what one training step holds on one device, in MiB.

    Weights, their gradients, the optimizer's slots and the weight average exactly; the activations that the backward
    pass needs as `inspection.activation_bytes` counts them. What kernels use on the way comes on top.
    """
    compute_bytes = 4 if session.precision == "float32" else 2
    parts = {
        "weights": _bytes(state.model.weights),
        "gradients": _bytes(state.model.trainable_weights),
        "optimizer": _bytes(state.optimizer.variables),
        "weight_average": _bytes(state.average.variables) if state.average is not None else 0,
        "activations": inspection.activation_bytes(state.model, session.examples_at_once, compute_bytes),
    }
    return {name: size / 2**20 for name, size in (parts | {"total": sum(parts.values())}).items()}


def _bytes(variables) -> int:
    return sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables)


def _data(session: Session) -> dict:
    """The data set, whether it is there, and how to get it."""
    name, folder = session.recipe.data.name, session.run.data_dir
    if name in synthetic.NAMES:
        return {"name": name, "prepared": True, "how": "made in memory"}
    if sources.is_prepared(name, folder):
        return {"name": name, "prepared": True, "how": f"found in {sources.data_folder(folder)}"}
    return {"name": name, "prepared": False, "how": str(sources.DataNotPrepared(name, folder))}


def _text(session: Session, model: keras.Model, facts: dict) -> str:
    recipe, paper = session.recipe, session.recipe.paper.numbers
    counts = f"{facts['parameters']:,} (and {facts['non_trainable']:,} batch-norm statistics)"
    sections = [
        f"{recipe.name}: {recipe.summary}\n{recipe.paper.citation}, {recipe.paper.row}",
        _table([("layer", "type", "output", "parameters", "multiply-adds"), *_layer_rows(model)]),
        _table(
            [
                ("", "here", "paper"),
                *_accuracy_rows(paper),
                ("parameters", counts, f"{paper['parameters'] / 1e6:.3g}M" if "parameters" in paper else "-"),
                (
                    "multiply-adds",
                    f"{facts['multiply_adds']:,}",
                    f"{paper['multiply_adds'] / 1e9:.3g}B" if "multiply_adds" in paper else "-",
                ),
            ]
        ),
        f"memory of one step and device, micro-batches of {facts['micro_batch']} examples, estimated (MiB); "
        "--set=train.micro_batches=N cuts them\n"
        + "\n".join(f"  {name.replace('_', ' '):15} {size:12,.0f}" for name, size in facts["memory_mb"].items()),
        f"steps  {facts['steps']:,} of {recipe.train.global_batch} examples: "
        f"{facts['epochs']:.1f} epochs of {session.examples_per_epoch:,}",
        "learning rate\n" + "\n".join(_rate_lines(facts)),
        f"data  {facts['data']['name']}: {facts['data']['how']}",
        f"devices  {facts['devices']}",
        "deviations from the paper\n" + "\n".join(f"  - {line}" for line in facts["deviations"]),
    ]
    return "\n\n".join(sections)


def _accuracy_rows(paper: dict) -> list[tuple[str, str, str]]:
    """What the paper reached, protocol by protocol; here nothing was trained yet."""
    labels = {"top1": "top-1", "top5": "top-5", "top1_multi_scale": "top-1, multi-scale"}
    labels["top5_multi_scale"] = "top-5, multi-scale"
    return [(label, "see --mode=train", f"{paper[name]:.2%}") for name, label in labels.items() if name in paper]


def _layer_rows(model: keras.Model) -> list[tuple[str, ...]]:
    return [
        (
            row.name,
            row.type,
            "x".join(str(n) for n in row.output_shape[1:]),
            f"{row.parameters:,}",
            f"{row.multiply_adds:,}",
        )
        for row in inspection.layer_table(model)
    ]


def _rate_lines(facts: dict) -> list[str]:
    """The marked steps; of many decays the first and the last few."""
    lines = [f"  step {int(step):>9,}  {rate:<12.6g} {facts['lr_labels'][step]}" for step, rate in facts["lr"].items()]
    most = 2 * SHOWN_DECAYS + 4
    if len(lines) <= most:
        return lines
    return [*lines[: most // 2], f"  ... {len(lines) - most} more", *lines[-(most // 2) :]]


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)

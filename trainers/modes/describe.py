"""`--mode=describe`: a dry run. What would be trained, how large it is, on which data, at which learning rates."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import keras
import tensorflow as tf

from flags.data import Sentences
from flags.recipe import Experiment
from flags.run import Run
from tf_models import inspection
from trainers.data import sources
from trainers.loop.build import build_state
from trainers.run import strategy as strategies
from trainers.session import IN_MEMORY, Session, open_session

SHOWN_DECAYS = 3  # at either end of the run
SHOWN_SEGMENTS = 12  # of each pass
METRICS = {  # of a paper's row -> how it is called and shown
    "top1": ("top-1", "{:.2%}"),
    "top5": ("top-5", "{:.2%}"),
    "top1_multi_scale": ("top-1, multi-scale", "{:.2%}"),
    "top5_multi_scale": ("top-5, multi-scale", "{:.2%}"),
    "bpc": ("bits per character", "{:.3f}"),
    "perplexity": ("perplexity", "{:.2f}"),
    "test_loss": ("test loss a token, unit not stated", "{:.2f}"),
}


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
    """Everything of the description that is a number or a name.

    Of a language model multiply-adds are those of one symbol, and there are `unit` (byte or word), the passes with
    their steps and segments, the carried state of one lane, and of SHA-RNN the parameters as its author counts them.
    Of a translation model they are those of a source and a target token; `pairs` of the training split are used, or
    `num_train` of them where it is not there, and what an epoch takes is known when these are read: `epochs` is None.
    """
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
        "epochs": None if math.isnan(session.steps.per_epoch) else session.total_steps / session.steps.per_epoch,
        "lr": {str(step): rate for step, _, rate in marks},
        "lr_labels": {str(step): label for step, label, _ in marks},
        "data": _data(session),
        "devices": strategies.describe(session.strategy, session.precision),
        "deviations": list(recipe.deviations),
    } | (FACTS[recipe.task](session, state) if recipe.task in FACTS else {})


def memory_mb(session: Session, state) -> dict[str, float]:
    """An estimate of what one training step holds on one device, in MiB.

    Weights, their gradients, the optimizer's slots, the weight average and a language model's carried state exactly;
    the activations that the backward pass needs as `inspection.activation_bytes` counts them. What kernels use on the
    way comes on top.
    """
    compute_bytes = 4 if session.precision == "float32" else 2
    examples, time = _at_once(session)
    parts = {
        "weights": _bytes(state.model.weights),
        "gradients": _bytes(state.model.trainable_weights),
        "optimizer": _bytes(state.optimizer.variables),
        "weight_average": _bytes(state.average.variables) if state.average is not None else 0,
        "activations": inspection.activation_bytes(state.model, examples, compute_bytes, time),
    }
    if state.carried is not None:
        parts["carried_state"] = examples * _lane_bytes(state.model)
    return {name: size / 2**20 for name, size in (parts | {"total": sum(parts.values())}).items()}


def _at_once(session: Session) -> tuple[int, int | None]:
    """How many examples, lanes or pairs a device sees at once, and how many symbols of a text in each.

    Of pairs it is as many as there are of the longest, each side of which takes them all.
    """
    data, most = session.recipe.data, session.examples_at_once
    if isinstance(data, Sentences):
        longest = min(data.max_length + 1, session.recipe.train.global_batch)  # with its end
        return max(1, most // longest), longest
    return most, getattr(data, "segment_length", None)


def _pair_facts(session: Session, state) -> dict:
    """What only a translation model has."""
    data = session.recipe.data
    there = session.dataset.num_pairs(data.train_split) if _data(session)["prepared"] else None
    pairs, length = _at_once(session)
    return {
        "unit": session.task.unit,
        "pairs": there if data.num_train is None else data.num_train,
        "vocabulary": data.vocabulary,
        "longest": length,
        "micro_batch": pairs,
    }


def _text_facts(session: Session, state) -> dict:
    """What only a language model has."""
    symbols = session.dataset.num_tokens(session.recipe.data.train_split)
    facts = {
        "unit": session.task.unit,
        "symbols_per_epoch": symbols,
        "passes": [
            {
                "steps": len(segments),
                "epochs": int(segments.length.sum()) * session.recipe.train.global_batch / symbols,
                "first_segment_lengths": segments.length[:SHOWN_SEGMENTS].tolist(),
                "mean_segment_length": float(segments.length.mean()),
            }
            for segments in session.task.passes
        ],
        "carried_state_mb_per_lane": _lane_bytes(state.model) / 2**20,
    }
    if notes := inspection.parameter_notes(state.model):
        facts |= dict(zip(("parameters_as_defined", "parameters_collapsed"), notes.values()))
    return facts


FACTS = {"language_modelling": _text_facts, "translation": _pair_facts}  # task -> what only its models have


def _lane_bytes(model: keras.Model) -> int:
    """The state that a language model carries along one lane."""
    return sum(math.prod(part.shape[1:]) * tf.as_dtype(part.dtype).size for part in model.input["state"].values())


def _bytes(variables) -> int:
    return sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables)


def _data(session: Session) -> dict:
    """The data set, whether it is there, and how to get it."""
    name, folder = session.recipe.data.name, session.run.data_dir
    if name in IN_MEMORY:
        return {"name": name, "prepared": True, "how": "made in memory"}
    if sources.is_prepared(name, folder):
        return {"name": name, "prepared": True, "how": f"found in {sources.data_folder(folder)}"}
    return {"name": name, "prepared": False, "how": str(sources.DataNotPrepared(name, folder))}


def _text(session: Session, model: keras.Model, facts: dict) -> str:
    recipe = session.recipe
    sections = [
        f"{recipe.name}: {recipe.summary}\n{recipe.paper.citation}, {recipe.paper.row}",
        _table([("layer", "type", _output_heading(facts), "parameters", "multiply-adds"), *_layer_rows(model)]),
        _table([("", "here", "paper"), *_metric_rows(recipe.paper.numbers), *_count_rows(facts, recipe.paper.numbers)]),
        _memory(recipe, facts),
        _steps(session, facts),
        "learning rate\n" + ("\n".join(_rate_lines(facts)) or "  none: the head is solved for, not trained"),
        f"data  {facts['data']['name']}: {facts['data']['how']}",
        f"devices  {facts['devices']}",
        "deviations from the paper\n" + "\n".join(f"  - {line}" for line in facts["deviations"]),
    ]
    return "\n\n".join(sections)


def _metric_rows(paper: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """What the paper reached, protocol by protocol; here nothing was trained yet."""
    return [(label, "see --mode=train", shown.format(paper[n])) for n, (label, shown) in METRICS.items() if n in paper]


def _count_rows(facts: dict, paper: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """Parameters and multiply-adds; the paper's number of parameters stands beside what it counts."""
    printed = f"{paper['parameters'] / 1e6:.3g}M" if "parameters" in paper else "-"
    adds = (f"{facts['multiply_adds']:,}", f"{paper['multiply_adds'] / 1e9:.3g}B" if "multiply_adds" in paper else "-")
    trained = f"{facts['parameters']:,}"
    if "unit" not in facts:
        others = "batch-norm statistics" if facts["lr"] else "that stay as they are drawn"
        counts = f"{trained} (and {facts['non_trainable']:,} {others})"
        return [("parameters", counts, printed), ("multiply-adds", *adds)]
    rows = [("parameters", trained, printed)]
    if "parameters_as_defined" in facts:
        rows = [
            ("parameters", trained, "-"),
            ("  defined by the author's code", f"{facts['parameters_as_defined']:,}", "-"),
            ("  of these, value gates folded", f"{facts['parameters_collapsed']:,}", printed),
        ]
    return [*rows, (f"multiply-adds a {facts['unit']}", *adds)]


def _memory(recipe: Experiment, facts: dict) -> str:
    examples, cut = f"micro-batches of {facts['micro_batch']} examples", "--set=train.micro_batches=N cuts them"
    notes = {}
    if "pairs" in facts:
        examples = f"{facts['micro_batch']} pairs of {facts['longest']} subwords a side, the longest"
        cut = "--set=train.global_batch=N takes fewer"
    elif "unit" in facts:
        examples = f"{facts['micro_batch']} lanes of {recipe.data.segment_length:,} {facts['unit']}s"
        cut = "--set=train.global_batch=N makes them fewer"
        notes["carried_state"] = f"  ({facts['carried_state_mb_per_lane']:.3g} a lane)"
    lines = [
        f"  {name.replace('_', ' '):15} {size:12,.0f}{notes.get(name, '')}" for name, size in facts["memory_mb"].items()
    ]
    return "\n".join([f"memory of one step and device, {examples}, estimated (MiB); {cut}", *lines])


def _steps(session: Session, facts: dict) -> str:
    """How long the run is; of a text also how it is cut into segments, one a step; of pairs how many there are."""
    batch = session.recipe.train.global_batch
    if "unit" not in facts:
        return (
            f"steps  {facts['steps']:,} of {session.task.units(0, 1)} examples: "
            f"{facts['epochs']:.1f} epochs of {session.task.examples_per_epoch:,}"
        )
    if "pairs" in facts:
        pairs = "all" if facts["pairs"] is None else f"{facts['pairs']:,}"
        return (
            f"steps  {facts['steps']:,} of at most {batch:,} subwords a side, padding included: {pairs} pairs in a "
            f"vocabulary of at most {facts['vocabulary']:,}"
        )
    unit = facts["unit"]
    heading = (
        f"steps  {facts['steps']:,} of {batch} lanes, a segment each: {facts['epochs']:.1f} epochs of "
        f"{facts['symbols_per_epoch']:,} {unit}s, on average {session.steps.per_epoch:,.0f} steps each"
    )
    rows = [
        (
            f"  {name} pass",
            f"{one['steps']:,}",
            f"{one['epochs']:.1f}",
            f"{one['mean_segment_length']:.1f}",
            " ".join(map(str, one["first_segment_lengths"])) + (" ..." if one["steps"] > SHOWN_SEGMENTS else ""),
        )
        for name, one in zip(("first", "second"), facts["passes"])
    ]
    return "\n".join([heading, _table([("", "steps", "epochs", f"mean {unit}s", "the first segments"), *rows])])


def _output_heading(facts: dict) -> str:
    return f"output of T {facts['unit']}s" if "unit" in facts else "output"


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

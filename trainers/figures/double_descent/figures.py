"""Deep Double Descent (Nakkiran et al. 2019, arXiv 1912.02292): error over width, examples and epochs, from runs.

The fields in which the runs of an experiment differ decide which figures there are: one is the axis, another gives the
lines. Every figure shows test next to training, and the loss below the error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trainers.figures.double_descent import choice, emc, maps, procedures
from trainers.figures.double_descent.frame import (
    FEWEST,
    Texts,
    axis_of,
    courses_of,
    drawing_of,
    ends_of,
    is_logged,
    seeds_of,
    shown_quantities,
)
from trainers.figures.double_descent.lines import Axis, Line
from trainers.figures.double_descent.trials import (
    DECAY,
    EXAMPLES,
    RATE,
    Trials,
    axis_label,
    distinct,
    is_number,
    steps_per_epoch,
    trials_of,
    value_of,
    written,
)
from trainers.figures.records import Group
from trainers.figures.style import Drawing, NotDrawn


def draw(groups: Sequence[Group]) -> Iterator[Drawing | NotDrawn]:
    """The figures that the runs of each experiment suffice for; of the others, why not."""
    every = trials_of(groups)
    for trials in every:
        if not trials.measured("fit") and not trials.logged("fit"):
            title = f"Double descent: {trials.place}"
            yield NotDrawn(title, "no run measured its training error in a pass of its own (train.measure_fit=true)")
            continue
        yield from _over_widths(trials)
        yield from _over_others(trials)
        yield from _over_epochs(trials)
        yield from maps.draw(trials)
        yield from choice.draw(trials)
        yield from emc.draw(trials)
    yield from procedures.draw(every)


# At the end of training


def _over_widths(trials: Trials) -> Iterator[Drawing | NotDrawn]:
    """Figures 1, 3 to 8, 11 and 14: over the width, with a line a value of each other thing that varies."""
    width = trials.width
    if width is None or len(_finished_values(trials, width)) < FEWEST:
        yield NotDrawn(f"Model-wise: {trials.place}", f"no finished runs of {FEWEST} widths")
        return
    for other in [path for path in trials.varying if path != width] or [None]:
        yield from _ends(trials, width, other, "Model-wise")


def _over_others(trials: Trials) -> Iterator[Drawing]:
    """Figures 11b, 12, 15 and 22: over the number of examples, weight decay or learning rate, with a line a width."""
    for path, kind in ((EXAMPLES, "Sample-wise"), (DECAY, "Over weight decay"), (RATE, "Over learning rates")):
        if path in trials.varying and len(_finished_values(trials, path)) >= FEWEST:
            for other in [trials.width] if trials.width else [p for p in trials.varying if p != path] or [None]:
                yield from _ends(trials, path, other, kind)


def _finished_values(trials: Trials, path: str) -> list[float]:
    values = distinct(value_of(point, path) for point in trials.points if point.finished)
    return [value for value in values if is_number(value)]


def _ends(trials: Trials, path: str, other: str | None, kind: str) -> Iterator[Drawing]:
    """The final metrics over a field of the recipe."""
    quantities = shown_quantities(trials.measured("metrics"))
    for part in trials.slices(path, other):
        lines = [
            Line(
                text="" if other is None else written(other, value),
                seeds=seeds_of(points),
                curves=ends_of(points, path, quantities),
                exact=_exact(trials, path, points),
            )
            for value, points in part.lines(other).items()
        ]
        lines = [line for line in lines if line.first("test", quantities[0]) is not None]
        if max((len(line.first("test", quantities[0]).steps) for line in lines), default=0) < FEWEST:
            continue
        by = "" if other is None else f", one line per {axis_label(other)}"
        caption = f"Test error at the end of training over {axis_label(path)}{by}, next to the training error."
        name = kind.lower().replace("-", "_").replace(" ", "_")
        texts = Texts(f"{name}{_by(other, trials)}", kind, caption)
        yield drawing_of(trials, part, texts, lines, axis_of(part, path), quantities)


def _exact(trials: Trials, path: str, points: Sequence[Group]) -> float | None:
    """Where as many features as examples are reached on an axis of one of them; None of what learns step by step."""
    features = "model.num_features"
    if not trials.is_exact or path not in (features, EXAMPLES):
        return None
    values = distinct(value_of(point, EXAMPLES if path == features else features) for point in points)
    return float(values[0]) if len(values) == 1 and is_number(values[0]) else None


# During training


def _over_epochs(trials: Trials) -> Iterator[Drawing | NotDrawn]:
    """Figures 9, 10 and 16 to 18: over epochs, with a line a value of each thing that varies."""
    quantities = shown_quantities(trials.logged("eval"))
    if not quantities or not is_logged(trials):
        reason = (
            "least squares has no epochs"
            if trials.is_exact
            else "test and training error were not both logged during training"
        )
        yield NotDrawn(f"Epoch-wise: {trials.place}", reason)
        return
    caption = "Test error during training, next to the training error at the same steps."
    for other in trials.varying or [None]:
        texts = Texts(f"epoch_wise{_by(other, trials)}", "Epoch-wise", caption)
        for part in trials.slices(other):
            epoch = steps_per_epoch(part.points)
            lines = [
                Line(
                    text="" if other is None else written(other, value),
                    seeds=seeds_of(points, finished=False),
                    curves=courses_of(points, quantities, epoch),
                )
                for value, points in part.lines(other, 5).items()
            ]
            unit = "epochs" if epoch else "steps"
            yield drawing_of(trials, part, texts, lines, Axis(unit, unit, is_time=True), quantities)


def _by(other: str | None, trials: Trials) -> str:
    """Ends names of files where there are several such figures."""
    return "" if other is None or len(trials.varying) < 3 else f"_by_{other.rpartition('.')[2]}"

"""Deep Double Descent (arXiv 1912.02292): the peak under early stopping and under voting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from flags import metrics
from trainers.figures import predictions
from trainers.figures.double_descent.frame import (
    SPLITS,
    Texts,
    axis_of,
    drawing_of,
    is_logged,
    seeds_of,
    shown_quantities,
)
from trainers.figures.double_descent.lines import SIDES, Line
from trainers.figures.double_descent.trials import NOISE, Trials, at_the_end, curve_of, value_of, written
from trainers.figures.records import Curve, Group, Record, error_percent
from trainers.figures.shown import shown
from trainers.figures.style import Drawing, NotDrawn

ORACLE_LINES = "solid: the end of training; dashed: an oracle's stop, which looks at the test labels; "
ORACLE = (
    "Solid: at the end of training. Dashed: stopped by an oracle, at the logged step of each run with the lowest test "
    "error. The oracle looks at the test labels and takes the luckiest step: a bound, not a rule to train by. The "
    "training error is that of the same steps."
)
VOTE_LINES = "solid: single runs; dashed: the vote of all seeds; "
VOTE = (
    "Solid: single runs. Dashed: the plurality vote of all seeds on every test example; a tie goes to the class of the "
    "run with the lowest seed, if it is among the tied."
)


def draw(trials: Trials) -> Iterator[Drawing | NotDrawn]:
    """Early stopping (Figures 1, 19, 20 and 23 to 25) and ensembles (Figures 28 and 29), over the width."""
    yield from _early_stopping(trials)
    yield from _ensembles(trials)


def _early_stopping(trials: Trials) -> Iterator[Drawing | NotDrawn]:
    """The end of training beside the step of each run at which its test error was lowest."""
    quantities = shown_quantities(trials.logged("eval"))
    if trials.width is None or not quantities or not is_logged(trials):
        reason = "no runs of several widths that logged test and training error during training"
        yield NotDrawn(f"Early stopping: {trials.place}", reason)
        return
    texts = Texts("early_stopping", "Early stopping", ORACLE, ORACLE_LINES)
    yield from _two_ways(trials, texts, quantities[0], best_steps)


def _ensembles(trials: Trials) -> Iterator[Drawing | NotDrawn]:
    """Single runs beside the plurality vote of all seeds of a width."""
    voted = [point for point in trials.points if vote_error(point) is not None]
    if trials.width is None or len({value_of(point, trials.width) for point in voted}) < 2:
        reason = "no two widths with several finished runs whose predictions.npz has `classes` and `labels`"
        yield NotDrawn(f"Ensembles: {trials.place}", reason)
        return
    texts = Texts("ensemble", "Ensembles", VOTE, VOTE_LINES)
    yield from _two_ways(trials, texts, "top1", _votes)


def _two_ways(trials: Trials, texts: Texts, name: str, chosen: Callable[..., Mapping]) -> Iterator[Drawing]:
    """Lines over the width: solid what runs end with, dashed what `chosen(points, width, name)` gives, by side."""
    width = trials.width
    other = next((path for path in (NOISE, *trials.varying) if path in trials.varying and path != width), None)
    for part in trials.slices(width, other):
        lines = []
        for value, points in part.lines(other).items():
            picked = chosen(points, width, name)
            curves = {
                (side, name): [at_the_end(points, width, SPLITS[side][1], name), *picked.get(side, ())]
                for side in SIDES
            }
            lines.append(Line("" if other is None else written(other, value), seeds_of(points), curves))
        yield drawing_of(trials, part, texts, lines, axis_of(part, width), [name])


def best_steps(points: Sequence[Group], path: str, name: str) -> Mapping[str, Sequence[Curve]]:
    """Test and training numbers at the logged step of each run that is best on the test, over a path of the recipe."""
    change = shown(name).change
    places, values = [], {side: [] for side in SIDES}
    for point in sorted(points, key=lambda point: value_of(point, path)):
        rows = [_best(record, name) for record in point.finished]
        rows = [row for row in rows if row is not None]
        if rows:
            places.append(value_of(point, path))
            for side, column in zip(SIDES, zip(*rows)):
                values[side].append([change(number) for number in column])
    return {side: [curve_of(places, values[side])] for side in SIDES}


def _best(record: Record, name: str) -> tuple[float, float] | None:
    """The best logged test number of a run, and the training number of the same step."""
    fitted = record.points("fit", name)
    tested = {step: number for step, number in record.points("eval", name).items() if step in fitted}
    if not tested:
        return None
    step = (max if metrics.get(name).larger_is_better else min)(tested, key=tested.get)
    return tested[step], fitted[step]


def _votes(points: Sequence[Group], path: str, name: str) -> Mapping[str, Sequence[Curve]]:
    found = sorted((value_of(p, path), error) for p in points if (error := vote_error(p)) is not None)
    return {"test": [curve_of([value for value, _ in found], [[error] for _, error in found])]}


def vote_error(point: Group) -> float | None:
    """The test error in % of the plurality vote of a point's finished runs; None of fewer than two that kept theirs."""
    kept = [found for record in point.finished if (found := predictions.read(record.folder)) is not None]
    if len(kept) < 2:
        return None
    classes = np.stack([found.classes for found in kept])  # [runs, examples]
    votes = np.stack([(classes == label).sum(axis=0) for label in range(classes.max() + 1)]).astype(float)
    votes[classes[0], np.arange(classes.shape[1])] += 0.5  # settles a tie, and nothing else
    return error_percent(float(np.mean(votes.argmax(axis=0) == kept[0].labels)))

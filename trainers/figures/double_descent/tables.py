"""Tables of Deep Double Descent (arXiv 1912.02292): the recipes of an experiment, and whether curves have a peak."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from trainers.figures import predictions
from trainers.figures.double_descent import emc
from trainers.figures.double_descent.trials import (
    EXAMPLES,
    NOISE,
    THRESHOLDS,
    Trials,
    at_the_end,
    axis_label,
    fitted,
    is_number,
    peak,
    trials_of,
    value_of,
    written,
)
from trainers.figures.records import Estimate, Group, Record, error_percent
from trainers.figures.shown import shown
from trainers.figures.tables import Cell, Table

ERRORS = {  # column -> part of results.json, its field
    "training error (%), labels trained on": ("fit", "top1"),
    "training error (%), true labels": ("fit", "top1_clean"),
    "test error (%)": ("metrics", "top1"),
}
OTHERS = {  # shown where there are any
    "training squared error": ("fit", "squared_error"),
    "test squared error": ("metrics", "squared_error"),
    "training loss": ("fit", "loss"),
    "test loss": ("metrics", "loss"),
    "BLEU": ("metrics", "bleu"),
}
AT_EXACT_FIT = (
    " Least squares fits all examples from as many features as examples on, whatever this threshold; the height of a "
    "peak right there says little, since the solution divides by singular values near 0."
)
WAYS = {  # of a curve with a peak: what is compared -> from which of its three places, to which
    "first minimum to later maximum": (0, 1),
    "later maximum to later minimum": (1, 2),
    "first minimum to later minimum": (0, 2),
}


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much higher an error is in one recipe than in another, in points of %."""

    mean: float
    standard_error: float | None  # None of a single pair

    @property
    def ratio(self) -> float | None:
        """Of difference to standard error."""
        return self.mean / self.standard_error if self.standard_error else None


def tabulate(groups: Sequence[Group]) -> Iterator[Table]:
    """For each experiment with several recipes what was measured; where widths vary, the verdict; complexities."""
    for trials in trials_of(groups):
        if len(trials.points) > 1 and any(point.finished for point in trials.points):
            yield _measured(trials)
            if trials.width and "top1" in trials.measured("metrics"):
                yield _verdict(trials)
        brackets = emc.read_brackets(trials)
        if brackets:
            yield _complexities(trials, brackets)


# What was measured


def _measured(trials: Trials) -> Table:
    quantities = ERRORS | {column: (of, name) for column, (of, name) in OTHERS.items() if name in trials.measured(of)}
    columns = [*map(axis_label, trials.varying), "parameters"]
    columns += [name for quantity in quantities for name in (quantity, f"{quantity}: std")]
    rows = []
    for point in sorted_points(trials):
        row: list[Cell] = [_cell(value_of(point, path), path) for path in trials.varying]
        row.append(point.fact("parameters"))
        for of, name in quantities.values():
            change = error_percent if name.startswith("top1") else float
            row += _mean_and_std(point.measured(name, change, of=of))
        rows.append((*row, point.seeds))
    return Table(
        name=f"trials_{trials.slug}",
        title=f"Every recipe of {trials.place}",
        caption="At the end of training: the mean over seeds and the standard deviation (std, n - 1). Training "
        "errors and losses are from a separate pass over the training examples, in inference mode and not augmented; "
        "test labels are clean.",
        columns=(*columns, "seeds"),
        rows=tuple(rows),
        digits={
            column: shown(name).digits
            for quantity, (_, name) in quantities.items()
            for column in (quantity, f"{quantity}: std")
        },
    )


def sorted_points(trials: Trials) -> list[Group]:
    """By the values of what varies, the first of it first."""
    return sorted(trials.points, key=lambda point: [_order(value_of(point, path)) for path in trials.varying])


def _order(value) -> tuple:
    return (0, value, "") if is_number(value) else (1, 0, repr(value))


def _cell(value, path: str) -> Cell:
    if path == NOISE and is_number(value):
        return f"{value:.0%}"
    if is_number(value):
        return value if isinstance(value, int) else f"{value:g}"
    return str(value)


def _mean_and_std(estimate: Estimate | None) -> tuple[Cell, Cell]:
    return (None, None) if estimate is None else (estimate.mean, estimate.std)


# Whether there is a peak


def _verdict(trials: Trials) -> Table:
    rows = []
    for fixed, points in _curves(trials):
        rows += _verdict_rows(trials, fixed, points)
    return Table(
        name=f"verdict_{trials.slug}",
        title=f"Is there a peak over the width? {trials.place}",
        caption="The maximum of the mean test error that stands highest above both the lowest mean on its left (first "
        "minimum) and the lowest on its right (later minimum); none if the error is never lower on both sides. "
        "Differences are of test errors in points. Over seeds: the mean of each seed's own difference, standard error "
        "= standard deviation / sqrt(seeds). Over images: of each test image's difference, averaged over the same "
        "seeds, standard error over images (where predictions.npz holds classes and labels); all widths share the test "
        "images, so that both are paired. Beware of selection: minima and maximum are picked from the very curve that "
        "is tested, of many widths, so that differences are too large and ratios too certain; seeds or images that "
        "had no part in picking would say what is left. Threshold: the first width at which the mean training error "
        f"(labels trained on) is at most {THRESHOLDS[0]:g} %." + AT_EXACT_FIT * trials.is_exact,
        columns=(
            "curve", "compared", "from width", "to width", "error (%), from", "error (%), to",
            "difference (points)", "s.e. over seeds (points)", "ratio (seeds)", "s.e. over images (points)",
            "ratio (images)", "seeds", "threshold",
        ),
        rows=tuple(rows),
    )  # fmt: skip


def _curves(trials: Trials) -> list[tuple[str, list[Group]]]:
    """The points of each combination of what varies besides the width, with its name."""
    found: dict[str, list[Group]] = {}
    for point in sorted_points(trials):
        fixed = [written(path, value_of(point, path)) for path in trials.varying if path != trials.width]
        if point.finished:
            found.setdefault(", ".join(fixed) or "all", []).append(point)
    return list(found.items())


def _verdict_rows(trials: Trials, fixed: str, points: Sequence[Group]) -> Iterator[tuple[Cell, ...]]:
    width = trials.width
    by_width = {value_of(point, width): point for point in points}
    curve = at_the_end(points, width, "metrics", "top1")
    threshold = fitted(at_the_end(points, width, "fit", "top1"), THRESHOLDS[0])
    threshold = None if threshold is None else _whole(threshold)
    places = peak(curve)
    if places is None:
        yield (fixed, "no peak", *[None] * 9, _seed_count(points), threshold)
        return
    for name, ends in WAYS.items():
        first, second = (places[end] for end in ends)
        pair = by_width[_whole(curve.steps[first])], by_width[_whole(curve.steps[second])]
        seeds, images = over_seeds(*pair), over_images(*pair)
        yield (
            fixed,
            name,
            _whole(curve.steps[first]),
            _whole(curve.steps[second]),
            float(curve.mean[first]),
            float(curve.mean[second]),
            None if seeds is None else seeds.mean,
            seeds and seeds.standard_error,
            seeds and seeds.ratio,
            images and images.standard_error,
            images and images.ratio,
            len(_paired(*pair)),
            threshold,
        )


def _whole(value: float) -> int | float:
    return int(value) if float(value).is_integer() else float(value)


def _seed_count(points: Sequence[Group]) -> int:
    return min(len(point.finished) for point in points)


def _paired(first: Group, second: Group) -> list[tuple[Record, Record]]:
    """The finished runs of two points with the same seed."""
    by_seed = {record.seed: record for record in first.finished}
    return [(by_seed[record.seed], record) for record in second.finished if record.seed in by_seed]


def over_seeds(first: Group, second: Group) -> Difference | None:
    """How much higher the second test error is, seed by seed; None if no seed has both."""
    pairs = _paired(first, second)
    errors = [[error_percent(run.results["metrics"]["top1"]) for run in pair] for pair in pairs]
    differences = [after - before for before, after in errors]
    return _difference(differences) if differences else None


def over_images(first: Group, second: Group) -> Difference | None:
    """The same, test image by test image, averaged over the seeds that have both; None without their predictions."""
    wrong = []
    for pair in _paired(first, second):
        found = [predictions.read(run.folder) for run in pair]
        if None in found or len({len(each.labels) for each in found}) > 1:
            return None
        before, after = (100.0 * (each.classes != each.labels) for each in found)
        wrong.append(after - before)
    return _difference(np.mean(wrong, axis=0).tolist()) if wrong else None


def _difference(values: Sequence[float]) -> Difference:
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return Difference(statistics.fmean(values), error)


# Effective complexity


def _complexities(trials: Trials, brackets: Sequence[emc.Bracket]) -> Table:
    paths = [path for path in dict.fromkeys(path for b in brackets for path in b.point) if path != EXAMPLES]

    def order(bracket: emc.Bracket) -> tuple:
        return [_order(bracket.point.get(path)) for path in paths], bracket.error, bracket.eps

    def row(bracket: emc.Bracket) -> tuple[Cell, ...]:
        point: Mapping = bracket.point
        cells = [_cell(point[path], path) if path in point else None for path in paths]
        error = emc.ERRORS.get(bracket.error, bracket.error)
        return (*cells, error, f"{bracket.eps:g}", bracket.low, bracket.high)

    return Table(
        name=f"complexity_{trials.slug}",
        title=f"Effective model complexity: {trials.place}",
        caption="The largest number of examples that a recipe fits to a mean training error of eps lies between the "
        "two: it fits the first and not the second. No second one: it fits all that there are; no first one: it does "
        "not fit the fewest that were tried.",
        columns=(*map(axis_label, paths), "error", "eps", "fits", "does not fit"),
        rows=tuple(row(bracket) for bracket in sorted(brackets, key=order)),
    )

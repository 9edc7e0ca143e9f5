"""The runs of a sweep and the fields in which they differ, for Deep Double Descent (Nakkiran et al. 2019)."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from flags import catalog, overrides
from trainers.figures.records import Curve, Data, Group, Record
from trainers.figures.shown import shown

PAPER = ("double_descent", "double_descent_translation", "double_descent_features")  # modules of `flags.papers`
WIDTHS = ("model.k", "model.d_model", "model.num_features")
EXAMPLES, NOISE, DECAY, RATE = "data.num_train", "data.label_noise", "optimizer.weight_decay", "schedule.lr"
ORDER = (*WIDTHS, EXAMPLES, NOISE, DECAY, RATE)  # of what varies; anything else comes after
REPETITIONS = ("data.subset_seed", "data.noise_seed", "model.feature_seed")  # differ as seeds do
THRESHOLDS = (10.0, 1.0)  # training error in %, at or below which the examples count as fitted; the paper's is 10
SLICES = 3  # figures per quantity that is neither an axis nor a line


LOSSES = ("squared_error", "nll", "loss")  # of a run the first that it has is shown
AXES = {  # path -> how an axis is called, how one value is
    "model.k": ("width k", "k = {:,}"),
    "model.d_model": ("width d", "d = {:,}"),
    "model.num_features": ("features D", "D = {:,}"),
    EXAMPLES: ("training examples n", "n = {:,}"),
    NOISE: ("label noise", "{:.0%} label noise"),
    DECAY: ("weight decay", "weight decay {:g}"),
    RATE: ("learning rate", "learning rate {:g}"),
}


@dataclasses.dataclass(frozen=True)
class Slice:
    """Points of `Trials` that agree in all that varies but what a figure shows."""

    fixed: Mapping[str, Any]
    points: tuple[Group, ...]

    @property
    def text(self) -> str:
        """ "20% label noise, n = 4,000"; empty if nothing else varies."""
        return ", ".join(written(path, value) for path, value in self.fixed.items())

    @property
    def slug(self) -> str:
        """For names of files: "_label_noise0.2"."""
        return "".join(f"_{path.rpartition('.')[2]}{overrides.show(value)}" for path, value in self.fixed.items())

    def lines(self, path: str | None, most: int = 6) -> dict[Any, list[Group]]:
        """The points by their value of `path`, of many values a few from the smallest to the largest; None: all."""
        if path is None:
            return {None: list(self.points)}
        chosen = spread(distinct(value_of(point, path) for point in self.points), most)
        return {value: [point for point in self.points if value_of(point, path) == value] for value in chosen}


@dataclasses.dataclass(frozen=True)
class Trials:
    """The runs of an experiment on the same data: a point is a recipe, its runs differ in seeds alone."""

    points: tuple[Group, ...]

    @property
    def name(self) -> str:
        return self.points[0].name

    @property
    def data(self) -> Data:
        return self.points[0].data

    @property
    def slug(self) -> str:
        return f"{self.name}_{self.data.slug}"

    @property
    def place(self) -> str:
        """ "dd_cnn5_cifar10 on the embedded digits, not CIFAR-10"."""
        return f"{self.name} on {self.data.beside(self.points[0].experiment.data.name)}"

    @property
    def is_exact(self) -> bool:
        """Whether weights of random features are solved for by least squares, and not learnt step by step."""
        return "model.num_features" in settings_of(self.points[0])

    @property
    def width(self) -> str | None:
        """The path of the width, if it varies."""
        return next((path for path in WIDTHS if path in self.varying), None)

    @functools.cached_property
    def varying(self) -> dict[str, list]:
        """The paths with several values, in `ORDER`, and these; not those that a path before them determines."""
        found: dict[str, list] = {}
        for path in dict.fromkeys((*ORDER, *(path for point in self.points for path in settings_of(point)))):
            values = distinct(value_of(point, path) for point in self.points)
            if path not in REPETITIONS and len(values) > 1 and not any(self._follows(path, other) for other in found):
                found[path] = values
        return found

    @property
    def following(self) -> list[str]:
        """The paths whose value changes with another's."""
        paths = dict.fromkeys(path for point in self.points for path in settings_of(point) if path not in REPETITIONS)
        several = [path for path in paths if len({repr(value_of(point, path)) for point in self.points}) > 1]
        return [path for path in several if path not in self.varying]

    def _follows(self, path: str, other: str) -> bool:
        pairs = {(repr(value_of(point, other)), repr(value_of(point, path))) for point in self.points}
        return len(pairs) == len({first for first, _ in pairs})

    def logged(self, split: str) -> set[str]:
        """The names of all numbers of a split of metrics.jsonl."""
        rows = (row for point in self.points for record in point.records for row in record.rows)
        return set().union(*(row for row in rows if row["split"] == split))

    def measured(self, of: str) -> set[str]:
        """The names of all numbers of finished runs: of "metrics" (of the test) or of "fit" (to training examples)."""
        return set().union(*(run.results.get(of, {}) for point in self.points for run in point.finished))

    def slices(self, *shown: str | None) -> list[Slice]:
        """The points by what varies besides `shown`; of many combinations the first, the last, and some between."""
        others = [path for path in self.varying if path not in shown]
        found = []
        for values in itertools.product(*(self.varying[path] for path in others)):
            fixed = dict(zip(others, values))
            points = [p for p in self.points if all(value_of(p, path) == value for path, value in fixed.items())]
            if points:
                found.append(Slice(fixed, tuple(points)))
        return spread(found, SLICES)


def trials_of(groups: Sequence[Group]) -> list[Trials]:
    """The runs of the paper's experiments, and of others that are fitted and measured in its way."""
    found: dict[tuple, dict[str, list]] = {}
    for group in groups:
        if catalog.paper_of(group.name) in PAPER or settings_of(group).get("train.measure_fit"):
            recipe = {path: value for path, value in settings_of(group).items() if path not in REPETITIONS}
            points = found.setdefault((group.name, group.data), {})
            points.setdefault(json.dumps(recipe, sort_keys=True), []).extend(group.records)
    return [Trials(tuple(map(_by_seed, points.values()))) for points in found.values()]


def _by_seed(runs: Iterable[Record]) -> Group:
    return Group(tuple(sorted(runs, key=lambda run: run.seed)))


def settings_of(point: Group) -> Mapping[str, Any]:
    return point.records[0].settings


def value_of(point: Group, path: str) -> Any:
    """A field of the recipe; where it leaves the number of training examples open, how many there were."""
    value = settings_of(point).get(path)
    return (point.fact("fit") or {}).get("examples") if path == EXAMPLES and value is None else value


def distinct(values: Iterable[Any]) -> list:
    """Each value once, numbers by size, and what is no number after them."""
    return sorted({repr(v): v for v in values}.values(), key=lambda v: (0, v, "") if is_number(v) else (1, 0, repr(v)))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def spread(values: Sequence[Any], most: int) -> list:
    """At most so many of the values, evenly from the first to the last."""
    if len(values) <= most:
        return list(values)
    return [values[place] for place in np.linspace(0, len(values) - 1, most).round().astype(int)]


def written(path: str, value: Any) -> str:
    """How a value of what varies is called: "k = 8", "20% label noise", "train.steps=600"."""
    return AXES[path][1].format(value) if path in AXES and is_number(value) else f"{path}={overrides.show(value)}"


def axis_label(path: str) -> str:
    return AXES[path][0] if path in AXES else path


def steps_per_epoch(points: Iterable[Group]) -> float | None:
    """How many steps go over the training examples once, if that is known and the same for all points.

    Of pairs of sentences it is not: their steps count subwords.
    """
    found = {
        examples / settings_of(point)["train.global_batch"]
        if (examples := value_of(point, EXAMPLES)) and point.experiment.task != "translation"
        else None
        for point in points
    }
    return found.pop() if len(found) == 1 else None


def at_the_end(points: Sequence[Group], path: str, of: str, name: str) -> Curve:
    """A number of the results over a path of the recipe: the mean over the finished runs, smallest and largest."""
    change = shown(name).change
    found = sorted((value_of(p, path), e) for p in points if (e := p.measured(name, change, of=of)) is not None)
    return curve_of([value for value, _ in found], [estimate.values for _, estimate in found])


def course(points: Sequence[Group], split: str, name: str, steps_per_epoch: float | None) -> Curve:
    """A logged number over epochs, or over steps if it is not known how long an epoch is."""
    runs = Group(tuple(record for point in points for record in point.records))
    curve = runs.curve(split, name, shown(name).change)
    return dataclasses.replace(curve, steps=curve.steps / (steps_per_epoch or 1))


def curve_of(places: Sequence[float], values: Sequence[Sequence[float]]) -> Curve:
    """A curve over places from several values at each."""
    columns = ([float(function(row)) for row in values] for function in (np.mean, np.min, np.max))
    return Curve(np.array(places, float), *(np.array(column, float) for column in columns))


def fitted(curve: Curve, error: float, *, last: bool = False) -> float | None:
    """Where a mean training error (%) is at or below `error` for the first time, or for the last."""
    places = np.flatnonzero(curve.mean <= error)
    return float(curve.steps[places[-1 if last else 0]]) if len(places) else None


def peak(curve: Curve, least: float = 0.0, fallen_to: float = math.inf) -> tuple[int, int, int] | None:
    """First minimum, later maximum and later minimum of a mean curve, by index; None if it has no inner maximum.

    Of all inner places it is the one at which the smaller of the heights above the minima on both sides is largest; it
    must be above `least`, and the first minimum not above `fallen_to`.
    """
    errors = curve.mean
    heights = {
        place: errors[place] - max(errors[:place].min(), errors[place + 1 :].min())
        for place in range(1, len(errors) - 1)
        if errors[:place].min() <= fallen_to
    }
    place = max(heights, key=heights.get, default=None)
    if place is None or heights[place] <= least:
        return None
    return int(errors[:place].argmin()), place, place + 1 + int(errors[place + 1 :].argmin())

"""What is drawn and tabulated: single runs, and groups of them that differ in nothing but the seed."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from flags import catalog, overrides
from flags.recipe import Experiment

DATA_NAMES = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "imagenet2012": "ImageNet",
    "digits": "the embedded digits",
    "linear_data": "linear data",
    "synthetic": "synthetic images",
    "synthetic_cifar10": "synthetic images",
    "wikitext103": "WikiText-103",
    "wikitext2": "WikiText-2",
    "wikipedia_sample": "the embedded Wikipedia sample",
    "synthetic_text": "a synthetic text",
    "iwslt14_de_en": "IWSLT'14 German-English",
    "wmt14_translate/fr-en": "WMT'14 English-French",
    "django_de_en": "the embedded German-English messages",
    "synthetic_pairs": "synthetic pairs of sentences",
}
MANY_POINTS = 150  # a curve with more is averaged between evaluations


@dataclasses.dataclass(frozen=True, order=True)
class Data:
    """Which data a run saw. Runs on different ones never share axes."""

    name: str  # of the data set: "cifar10", "digits"
    variant: str  # of the recipe: "paper", "sample", "synthetic"

    @property
    def slug(self) -> str:
        """For names of files."""
        name = self.name.replace("/", "_")
        return name if self.variant == "paper" or self.variant in name else f"{name}_{self.variant}"

    @property
    def title(self) -> str:
        return DATA_NAMES.get(self.name, self.name)

    def beside(self, papers: str) -> str:
        """ "CIFAR-10", or "the embedded digits, not CIFAR-10"; `papers` is the name of the paper's data set."""
        return self.title if self.name == papers else f"{self.title}, not {DATA_NAMES.get(papers, papers)}"


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The same quantity measured in several runs."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def std(self) -> float | None:
        """With n - 1; None of a single run."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __format__(self, spec: str) -> str:
        """Mean, and ± standard deviation of several runs, each as a float is formatted; by default to two digits."""
        return " ± ".join(format(value, spec or ".2f") for value in (self.mean, self.std) if value is not None)

    def __str__(self) -> str:
        return format(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One run."""

    folder: pathlib.Path
    experiment: Experiment  # as the paper has it
    data: Data
    seed: int
    settings: Mapping[str, Any]  # besides the seed, what its numbers depend on: every field of the recipe, precision
    overrides: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]  # the lines of metrics.jsonl
    results: Mapping[str, Any] | None  # None: not finished
    measured: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # by name of the `Measurement`
    damage: str = ""  # what of it could not be read

    @property
    def is_finished(self) -> bool:
        return self.results is not None

    @property
    def last_step(self) -> int:
        return max((row["step"] for row in self.rows), default=0)

    def points(self, split: str, name: str) -> dict[int, float]:
        """A logged number by step."""
        return {row["step"]: row[name] for row in self.rows if row["split"] == split and name in row}


def _averaged(points: Mapping[int, float], every: int) -> dict[int, float]:
    """Means over windows of `every` steps, at their ends; every point stands for the steps since the one before."""
    sums: dict[int, list[float]] = {}
    before = 0
    for step, value in sorted(points.items()):
        window = sums.setdefault(math.ceil(step / every), [0, 0.0, 0.0])
        window[:] = step, window[1] + (step - before), window[2] + value * (step - before)
        before = step
    return {int(end): total / steps for end, steps, total in sums.values()}


@dataclasses.dataclass(frozen=True)
class Curve:
    """A number over the steps: the mean over runs, and the smallest and largest. All [points]."""

    steps: np.ndarray  # or what else it is drawn over
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs of one recipe on the same data with different seeds."""

    records: tuple[Record, ...]
    note: str = ""  # what tells it from another group of the same experiment on the same data

    @property
    def experiment(self) -> Experiment:
        return self.records[0].experiment

    @property
    def name(self) -> str:
        return self.experiment.name

    @property
    def data(self) -> Data:
        return self.records[0].data

    @property
    def is_on_papers_data(self) -> bool:
        return self.data == Data(self.experiment.data.name, "paper")

    @property
    def finished(self) -> tuple[Record, ...]:
        return tuple(record for record in self.records if record.is_finished)

    @property
    def is_changed(self) -> bool:
        """Whether --set replaced fields of the recipe."""
        return bool(self.records[0].overrides)

    @property
    def seeds(self) -> str:
        """How many runs there are: "3", "1 + 1 unfinished", or how far they are if none is finished."""
        left = len(self.records) - len(self.finished)
        if not self.finished:
            return f"unfinished, step {max(record.last_step for record in self.records):,}"
        return f"{len(self.finished)}" + (f" + {left} unfinished" if left else "")

    def curve(
        self, split: str, name: str, change: Callable[[float], float] = float, *, over: str | None = None
    ) -> Curve:
        """A logged number over the steps; at each step, over the runs that logged it there.

        Of very many points those between two evaluations are averaged.

        Args:
            over: a number that is logged with it, over which it is drawn in place of the steps: the runs' mean.
        """
        runs = [record.points(split, name) for record in self.records]
        if max(map(len, runs)) > MANY_POINTS:
            runs = [_averaged(points, self.records[0].settings["train.eval_every"]) for points in runs]
        steps = sorted(set().union(*runs))
        if over is not None:
            places = self._means(split, over)
            steps = [step for step in steps if step in places]
        values = [[change(points[step]) for points in runs if step in points] for step in steps]
        columns = ([function(row) for row in values] for function in (statistics.fmean, min, max))
        axis = steps if over is None else [places[step] for step in steps]
        return Curve(np.array(axis), *(np.array(column, float) for column in columns))

    def _means(self, split: str, name: str) -> dict[int, float]:
        """A logged number by step: the mean over the runs that logged it there."""
        runs = [record.points(split, name) for record in self.records]
        steps = set().union(*runs)
        return {step: statistics.fmean(points[step] for points in runs if step in points) for step in steps}

    def last(self, split: str, name: str, change: Callable[[float], float] = float) -> Estimate | None:
        """The last logged value of the finished runs."""
        return _estimate([list(p.values())[-1] for r in self.finished if (p := r.points(split, name))], change)

    def measured(self, name: str, change: Callable[[float], float] = float, *, of: str = "metrics") -> Estimate | None:
        """A metric of the finished runs' results.

        Args:
            of: "metrics"; what they were without a last step: "metrics_with_moving_statistics"; or those of the
                training examples: "fit".
        """
        return _estimate([r.results[of][name] for r in self.finished if name in r.results.get(of, {})], change)

    def fact(self, name: str) -> Any:
        """What results say that no seed changes, such as `parameters`; None if no run is finished."""
        return next((record.results[name] for record in self.finished if name in record.results), None)


def _estimate(values: Sequence[float], change: Callable[[float], float]) -> Estimate | None:
    return Estimate(tuple(change(value) for value in values)) if values else None


def error_percent(top1: float) -> float:
    """A fraction of right answers as an error in %; means in float32 may be a hair above 1."""
    return max(0.0, round(100 * (1 - top1), 10))  # 27.94 of 0.7206, not 27.939999999999998


# Grouping


def without_repetitions(records: Iterable[Record]) -> tuple[list[Record], list[str]]:
    """Leaves out runs that repeat another's recipe and seed, unfinished ones first; and a line for each of these."""
    kept: dict[str, Record] = {}
    lines = []
    for record in sorted(records, key=lambda record: not record.is_finished):
        first = kept.setdefault(f"{_recipe_key(record)} {record.seed}", record)
        if first is not record:
            lines.append(f"{record.folder}: repeats {first.folder} (recipe and seed), left out")
    return list(kept.values()), lines


def group(records: Iterable[Record]) -> list[Group]:
    """Groups runs by recipe and data, in the catalog's order of experiments; within a group by seed."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(_recipe_key(record), []).append(record)
    order = catalog.names()
    found = [Group(tuple(sorted(members, key=lambda record: record.seed))) for members in groups.values()]
    found.sort(key=lambda group: (order.index(group.name), group.data))
    different = {key: _different(same) for key, same in _by_name_and_data(found).items()}
    return [dataclasses.replace(group, note=_note(group, different[group.name, group.data])) for group in found]


def _recipe_key(record: Record) -> str:
    return json.dumps([record.experiment.name, record.data.variant, record.settings], sort_keys=True)


def _by_name_and_data(groups: Sequence[Group]) -> dict[tuple[str, Data], list[Group]]:
    found: dict[tuple[str, Data], list[Group]] = {}
    for group in groups:
        found.setdefault((group.name, group.data), []).append(group)
    return found


def _different(groups: Sequence[Group]) -> list[str]:
    """The fields in which groups differ from one another."""
    settings = [group.records[0].settings for group in groups]
    every = dict.fromkeys(path for other in settings for path in other)
    values = {path: [other.get(path, overrides.ABSENT) for other in settings] for path in every}
    return [path for path in every if any(value != values[path][0] for value in values[path])]


def _note(group: Group, different: Sequence[str]) -> str:
    """What a group has in the fields in which others of its experiment and data differ: "train.steps=600"."""
    own = group.records[0].settings
    return ", ".join(f"{path}={overrides.show(own.get(path, overrides.ABSENT))}" for path in different)

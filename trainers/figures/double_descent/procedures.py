"""Deep Double Descent (arXiv 1912.02292): optimizers and schedules in one figure, from an experiment each."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence

from flags.papers.double_descent import COMPARED
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
    ORDER,
    RATE,
    REPETITIONS,
    WIDTHS,
    Slice,
    Trials,
    distinct,
    settings_of,
    steps_per_epoch,
    value_of,
)
from trainers.figures.records import Group
from trainers.figures.style import Drawing, NotDrawn

OVER_WIDTH = "Test error at the end of training over {}, one line per training procedure, next to the training error."
OVER_TIME = (
    "Test error during training, one line per training procedure (schedule and learning rate), next to the training "
    "error at the same steps."
)


@dataclasses.dataclass(frozen=True)
class Procedures(Trials):
    """The runs of the experiments of one figure, which train the same networks on the same data each in its way."""

    figure: str

    @property
    def name(self) -> str:
        """What the names of the experiments begin with."""
        return os.path.commonprefix([point.name for point in self.points]).rstrip("_")

    @property
    def following(self) -> list[str]:
        """Nothing: what changes from procedure to procedure is what the figure is about."""
        return []

    def lines_of(self, points: Sequence[Group]) -> dict[str, list[Group]]:
        """ "SGD", or "constant, 0.001" where an experiment has several rates -> the points of it."""
        found: dict[str, list[Group]] = {}
        for experiment, procedure in COMPARED[self.figure].items():
            own = [point for point in points if point.name == experiment]
            rates = distinct(value_of(point, RATE) for point in own)
            for rate in rates:
                text = procedure if len(rates) == 1 else f"{procedure}, {rate:g}"
                found[text] = [point for point in own if value_of(point, RATE) == rate]
        return found

    @property
    def in_common(self) -> list[Slice]:
        """The points in parts that are alike in all but width and procedure; only parts with several procedures."""
        parts: dict[str, list[Group]] = {}
        for point in self.points:
            parts.setdefault(json.dumps(_circumstances(point), sort_keys=True), []).append(point)
        shared = [points for points in parts.values() if len({point.name for point in points}) > 1]
        all_of_them = [_circumstances(point) for point in self.points]
        varying = [path for path in ORDER if len({circumstances.get(path) for circumstances in all_of_them}) > 1]
        return [Slice({path: value_of(points[0], path) for path in varying}, tuple(points)) for points in shared]


def _circumstances(point: Group) -> Mapping[str, object]:
    """What a comparison of procedures leaves as it is."""
    return {
        path: value
        for path, value in settings_of(point).items()
        if path.partition(".")[0] not in ("name", "optimizer", "schedule", "train")
        and path not in (*WIDTHS, *REPETITIONS)
    }


def draw(every: Sequence[Trials]) -> Iterator[Drawing | NotDrawn]:
    """Figure 6 over the width, Figures 16 to 18 over epochs: where there are runs of two of its procedures."""
    for figure, procedures in COMPARED.items():
        for data in dict.fromkeys(trials.data for trials in every):
            points = [p for trials in every if trials.data == data for p in trials.points if p.name in procedures]
            if len({point.name for point in points}) > 1:
                yield from _side_by_side(Procedures(tuple(points), figure))


def _side_by_side(procedures: Procedures) -> Iterator[Drawing | NotDrawn]:
    parts = procedures.in_common
    if not parts:
        yield NotDrawn(f"{procedures.figure}: {procedures.place}", "its experiments have no data or network in common")
    for part in parts:
        width = next((path for path in WIDTHS if len({value_of(point, path) for point in part.points}) >= FEWEST), None)
        if width:
            yield from _over_width(procedures, part, width)
        elif is_logged(procedures):
            yield _over_time(procedures, part)


def _over_width(procedures: Procedures, part: Slice, width: str) -> Iterator[Drawing]:
    quantities = shown_quantities(procedures.measured("metrics"))
    lines = [
        Line(
            text,
            seeds_of(points),
            ends_of(points, width, quantities),
        )
        for text, points in procedures.lines_of(part.points).items()
        if any(point.finished for point in points)
    ]
    axis = axis_of(part, width)
    if len(lines) > 1:
        yield drawing_of(procedures, part, _texts(procedures, OVER_WIDTH.format(axis.label)), lines, axis, quantities)


def _over_time(procedures: Procedures, part: Slice) -> Drawing:
    quantities, epoch = shown_quantities(procedures.logged("eval")), steps_per_epoch(part.points)
    lines = [
        Line(
            text,
            seeds_of(points, finished=False),
            courses_of(points, quantities, epoch),
        )
        for text, points in procedures.lines_of(part.points).items()
    ]
    unit = "epochs" if epoch else "steps"
    axis = Axis(unit, unit, is_time=True)
    return drawing_of(procedures, part, _texts(procedures, OVER_TIME), lines, axis, quantities)


def _texts(procedures: Procedures, caption: str) -> Texts:
    return Texts(procedures.figure.lower().replace(" ", ""), procedures.figure, caption)

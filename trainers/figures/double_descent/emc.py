"""Deep Double Descent (arXiv 1912.02292): test error over effective model complexity, as the sweep measured it.

The complexity of a training procedure is the largest number of examples that it fits to an error of eps (section 2). A
sweep brackets it between two numbers of examples and keeps that in `emc.json`.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from trainers.figures import style
from trainers.figures.double_descent.frame import FITTED, finished_drawing, foot_of, title_of
from trainers.figures.double_descent.lines import SIDES, colors
from trainers.figures.double_descent.trials import (
    EXAMPLES,
    NOISE,
    Slice,
    Trials,
    settings_of,
    value_of,
    written,
)
from trainers.figures.records import Estimate, Group, error_percent
from trainers.figures.style import GRAY, Drawing, KeyRow, NotDrawn

ERRORS = {"zero_one": "0-1 error", "squared": "squared error"}  # of emc.json: what is below eps


@dataclasses.dataclass(frozen=True)
class Bracket:
    """The complexity of one recipe: it fits `low` examples and not `high`."""

    point: Mapping[str, Any]  # path -> value, of the sweep's grid
    error: str  # one of `ERRORS`
    eps: float
    low: int | None  # None: it does not even fit the fewest that were tried
    high: int | None  # None: it fits the most that there are (censored)

    @property
    def middle(self) -> float:
        """On a logarithmic scale; the known end of a bracket that has one."""
        ends = [end for end in (self.low, self.high) if end]
        return math.sqrt(ends[0] * ends[-1])


def draw(trials: Trials) -> Iterator[Drawing | NotDrawn]:
    """A figure for each kind of error and eps, at the number of examples that most trials have."""
    brackets = read_brackets(trials)
    if not brackets:
        yield NotDrawn(f"Effective complexity: {trials.place}", "no emc.json that can be read beside the runs")
        return
    for error, eps in dict.fromkeys((bracket.error, bracket.eps) for bracket in brackets):
        own = [bracket for bracket in brackets if (bracket.error, bracket.eps) == (error, eps)]
        placed = _placed(trials, own)
        if placed:
            yield _figure(trials, placed, error, eps)


def read_brackets(trials: Trials) -> list[Bracket]:
    """What `emc.json` beside the runs' folders says; nothing where it is missing or damaged."""
    folders = dict.fromkeys(record.folder.parent for point in trials.points for record in point.records)
    found = []
    for folder in folders:
        try:
            points = json.loads((folder / "emc.json").read_text())["points"]
            found += [
                Bracket(
                    point=dict(entry["point"]),
                    error=str(entry["error"]),
                    eps=float(entry["eps"]),
                    low=None if entry["low"] is None else int(entry["low"]),
                    high=None if entry.get("censored") or entry["high"] is None else int(entry["high"]),
                )
                for entry in points
            ]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return [bracket for bracket in found if bracket.low or bracket.high]


def _placed(trials: Trials, brackets: Sequence[Bracket]) -> list[tuple[Bracket, Group]]:
    """Each bracket with the finished runs of its recipe at the number of examples that most recipes have."""
    pairs = [
        (bracket, point)
        for point in trials.points
        if point.finished and value_of(point, EXAMPLES)
        for bracket in brackets
        if all(settings_of(point).get(path) == value for path, value in bracket.point.items() if path != EXAMPLES)
    ]
    counts = collections.Counter(value_of(point, EXAMPLES) for _, point in pairs)
    common = max(counts, key=lambda examples: (counts[examples], examples), default=None)
    return [(bracket, point) for bracket, point in pairs if value_of(point, EXAMPLES) == common]


def _figure(trials: Trials, placed: Sequence[tuple[Bracket, Group]], error: str, eps: float) -> Drawing:
    examples = value_of(placed[0][1], EXAMPLES)
    part = Slice({}, tuple(point for _, point in placed))
    other = NOISE if NOISE in trials.varying else None
    values = list(part.lines(other))
    condition = f"{ERRORS.get(error, error)} ≤ {eps:g}"
    title = title_of(trials, part, f"Effective complexity ({condition}), n = {examples:,}")
    foot = foot_of(trials) + (
        "\nbars: the bracket of the complexity; arrows: it fits all examples there are, or not even the fewest tried"
    )
    columns = tuple(f"{name} examples" for name in SIDES.values())
    figure, (row,), keys = style.panels(title, columns, key_rows=len(values), foot=foot)
    key = []
    for value, color in zip(values, colors(len(values))):
        own = [(b, p) for b, p in placed if other is None or value_of(p, other) == value]
        own.sort(key=lambda pair: pair[0].middle)
        label = "all runs" if other is None else written(other, value)
        ends = [_draw_brackets(axes, own, of, examples, color, label) for axes, of in zip(row, ("metrics", "fit"))]
        worst = ends[0][int(np.argmax([error for _, error in ends[0]]))] if ends[0] else None
        cells = (label, str(len(own)), "–" if worst is None else f"{worst[1]:.2f} at {worst[0]:.2g}")
        key.append(KeyRow({"color": color, "linewidth": 1.6}, cells))
    top = max((line.get_ydata().max() for axes in row for line in axes.get_lines() if len(line.get_ydata())), default=1)
    for axes in row:
        _finish(axes, top)
    row[1].set_ylabel("")
    width = keys[0].get_xlim()[1]
    style.draw_key(keys[0], ("test error (%)", "recipes", "highest at EMC / n"), key, [width * 0.6, width])
    caption = (
        f"Test error at n = {examples:,} training examples, next to the training error, over the effective model "
        f"complexity of each recipe in units of n. The complexity is the largest number of examples "
        f"that the recipe fits to a mean {condition} on the labels trained on. The paper's hypothesis puts "
        "the peak near 1 (gray line); it leaves open how near." + FITTED
    )
    name = f"complexity_{error}_{eps:g}"
    return finished_drawing(trials, part, name, title, caption, figure)


def _draw_brackets(
    axes: Axes, own: Sequence[tuple[Bracket, Group]], of: str, examples: int, color, label: str
) -> list[tuple[float, float]]:
    """Points of EMC / n and mean error in %, bracket across, range of seeds upright; returns the points."""
    drawn = [(b, e) for b, point in own if (e := point.measured("top1", error_percent, of=of)) is not None]
    points = [(bracket.middle / examples, estimate.mean) for bracket, estimate in drawn]
    axes.plot(*zip(*points) if points else ([], []), color=color, linewidth=1.2, marker="o", markersize=3, label=label)
    for (bracket, estimate), (x, y) in zip(drawn, points):
        _draw_bracket(axes, bracket, estimate, examples, (x, y), color)
    return points


def _draw_bracket(
    axes: Axes, bracket: Bracket, estimate: Estimate, examples: int, at: tuple[float, float], color
) -> None:
    x, y = at
    axes.vlines(x, min(estimate.values), max(estimate.values), color=color, linewidth=0.8)
    if bracket.low and bracket.high:
        axes.hlines(y, bracket.low / examples, bracket.high / examples, color=color, linewidth=2.4, alpha=0.6)
    else:
        arrow = {"arrowstyle": "->", "color": color, "linewidth": 1.0}
        axes.annotate("", (x * (1.35 if bracket.low else 1 / 1.35), y), (x, y), arrowprops=arrow)


def _finish(axes: Axes, top: float) -> None:
    axes.axvline(1, color=GRAY, linewidth=0.9, linestyle=(0, (1, 1.6)), zorder=1)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set(
        xlim=(low / 1.4, high * 1.4),
        xlabel="effective complexity / n",
        ylabel="error (%)",
        ylim=(-0.02 * top, 1.06 * top),
    )
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())

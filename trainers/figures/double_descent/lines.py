"""Test beside training, in lines over a width, a number of examples or epochs: the frame of most figures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from trainers.figures import style
from trainers.figures.double_descent.trials import THRESHOLDS, fitted, peak
from trainers.figures.records import Curve
from trainers.figures.shown import shown
from trainers.figures.style import GRAY, KeyRow

SIDES = {"test": "test", "fit": "training"}  # which examples: title of the panels
TICKS = 9  # that fit a logarithmic axis
HEIGHTS = {1: (2.9,), 2: (2.6, 1.8), 3: (2.6, 1.8, 1.6)}  # inches, by the number of quantities
CLEAR = 1.0  # points of error that a peak in the key is above the minima on both sides of it
SECOND_AXIS = 0.34  # inches above the panels
ONLY_COLOR = "#1f5fa8"
STYLES = ({"linewidth": 1.8}, {"linewidth": 1.3, "linestyle": (0, (4, 2))})  # of the curves of a line


@dataclasses.dataclass(frozen=True)
class Line:
    """What has one colour: curves of each quantity on test and training examples, drawn solid and dashed in turn."""

    text: str
    seeds: str
    curves: Mapping[tuple[str, str], Sequence[Curve]]  # by side and quantity
    exact: float | None = None  # where as many features as examples are reached, at which all are fitted exactly

    def first(self, side: str, name: str) -> Curve | None:
        """The solid curve, if it has a point."""
        curves = self.curves.get((side, name), ())
        return curves[0] if curves and len(curves[0].steps) else None

    def fitted(self, error: float, axis: Axis) -> float | None:
        """Where along an axis the training error (%) is at or below `error` for the first time, or for the last."""
        curve = self.first("fit", "top1")
        return None if curve is None else fitted(curve, error, last=axis.is_harder)


@dataclasses.dataclass(frozen=True)
class Axis:
    """What lines are drawn over, on a logarithmic scale."""

    label: str
    symbol: str  # for the key: "at k"
    values: Sequence[float] = ()  # the grid's, where there is one
    parameters: Mapping[float, int] = dataclasses.field(default_factory=dict)  # by value
    is_time: bool = False  # of training: a peak comes after a third of the whole descent
    is_harder: bool = False  # to fit the examples, the further along: thresholds are the last places that do

    @property
    def zero(self) -> float | None:
        """Where 0 stands, which has no logarithm: as far below the least value as that is below the next."""
        positive = [value for value in self.values if value > 0]
        if len(positive) == len(self.values) or not positive:
            return None
        return positive[0] / max(3.0, positive[1] / positive[0] if len(positive) > 1 else 3.0)

    def place(self, values: Sequence[float]) -> np.ndarray:
        return np.array([self.zero if value == 0 and self.zero else value for value in values], float)


def colors(count: int) -> list:
    """Of lines in order, from dark to light."""
    if count == 1:
        return [ONLY_COLOR]
    return [matplotlib.colormaps["viridis"](place) for place in np.linspace(0.04, 0.8, count)]


def figure_of(title: str, lines: Sequence[Line], axis: Axis, quantities: Sequence[str], foot: str) -> Figure:
    """A row of panels a quantity: left on test, right on training examples; below each a key."""
    heights = HEIGHTS[len(quantities)]
    columns = tuple(f"{title} examples" for title in SIDES.values())
    figure, rows, keys = style.panels(title, columns, key_rows=len(lines), foot=foot, heights=heights, row_gap=0.25)
    for row, name in zip(rows, quantities):
        for axes, side in zip(row, SIDES):
            _draw_panel(axes, lines, axis, side, name)
        if name == "top1":  # on one scale, so that they compare
            drawn = [curve for line in lines for side in SIDES for curve in line.curves.get((side, name), ())]
            top = max((curve.high.max() for curve in drawn if len(curve.high)), default=1)
            for axes in row:
                axes.set_ylim(-0.02 * top, 1.06 * top)
                axes.yaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10)))
        row[1].set_ylabel("")
        if row is not rows[-1]:
            for axes in row:
                axes.tick_params(labelbottom=False)
                axes.set_xlabel("")
    if axis.parameters:
        _make_room(figure, sum(rows, []))
        for axes in rows[0]:
            _draw_parameters(axes, axis)
    _draw_keys(keys, lines, axis, quantities[0])
    return figure


def _draw_panel(axes: Axes, lines: Sequence[Line], axis: Axis, side: str, name: str) -> None:
    drawn = False
    is_same = len({line.exact for line in lines}) == 1
    for line, color in zip(lines, colors(len(lines))):
        for curve, look in zip(line.curves.get((side, name), ()), STYLES):
            placed = dataclasses.replace(curve, steps=axis.place(curve.steps))
            style.draw_curve(axes, placed, color=color, label=line.text, **look)
            drawn = drawn or len(curve.steps) > 0
        if line.exact is None or not is_same or line is lines[0]:
            _draw_thresholds(axes, line, axis, GRAY if line.exact and is_same else color)
    axes.set_ylabel(shown(name).label)
    if name != "top1":
        _value_axis(axes)
    elif side == "fit":
        axes.axhline(THRESHOLDS[0], color=GRAY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    _log_axis(axes, axis)
    if not drawn:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", va="center", size=8, color=GRAY)


def _draw_thresholds(axes: Axes, line: Line, axis: Axis, color) -> None:
    """Dotted where the training error begins or ends to be 10 % or less, a tick for 1 %; dash-dotted at D = n."""
    if line.exact is not None:
        axes.axvline(line.exact, color=color, linewidth=1.1, linestyle="-.", zorder=1, label="D = n")
        return
    for error, (top, dots) in zip(THRESHOLDS, ((1.0, (0, (1, 1.6))), (0.05, "-"))):
        place = line.fitted(error, axis)
        if place is not None:
            x = axis.place([place])[0]
            axes.axvline(x, ymax=top, color=color, linewidth=1.1, linestyle=dots, zorder=1, label=f"{error:g} %")


def _data_lines(axes: Axes) -> list:
    """The lines that are neither thresholds nor of one point at the edge."""
    return [line for line in axes.get_lines() if line.get_transform() == axes.transData and len(line.get_ydata())]


def _value_axis(axes: Axes) -> None:
    """Logarithmic for numbers that are positive and differ widely."""
    values = np.concatenate([line.get_ydata() for line in _data_lines(axes)] or [np.array([1.0])])
    if values.min() > 0 and values.max() > 20 * values.min():
        axes.set_yscale("log")
        decades = math.log10(values.max() / values.min())
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2 else (1,), numticks=6))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short_power(value)))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))


def _short_power(value: float) -> str:
    """0.01 to 1000 as they are, powers of ten beyond."""
    return f"{value:g}" if 0.009 < value < 9_000 else rf"$10^{{{round(math.log10(value))}}}$"


def _log_axis(axes: Axes, axis: Axis) -> None:
    axes.set_xscale("log")
    axes.set_xlabel(axis.label)
    if len(axis.values):
        places = axis.place(axis.values)
        span = max(places) / min(places)
        axes.set_xlim(min(places) / span**0.03, max(places) * span**0.03)
        shown = [(place, f"{value:,g}") for place, value in zip(places, axis.values) if value in ticks(axis)]
        axes.xaxis.set_major_locator(FixedLocator([place for place, _ in shown]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda _, number: dict(enumerate(t for _, t in shown))[number]))
    else:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def ticks(axis: Axis) -> list[float]:
    """Of the grid's values those that have room beside one another: the last, the first, then round ones first."""
    places = dict(zip(axis.values, np.log(axis.place(axis.values))))
    room = (max(places.values()) - min(places.values())) / TICKS
    ends = [axis.values[-1], axis.values[0]]
    chosen: list[float] = []
    for value in (*ends, *sorted(places, key=lambda value: (_digits(value), -value))):
        if all(abs(places[value] - places[other]) >= room for other in chosen):
            chosen.append(value)
    return sorted(chosen)


def _digits(value: float) -> int:
    """How many digits a number has, without zeros at either end."""
    return len(f"{value:.6e}".partition("e")[0].replace(".", "").rstrip("0"))


def _make_room(figure: Figure, panels: Sequence[Axes]) -> None:
    """Moves the upper edge of the uppermost panels down."""
    top = max(axes.get_position().y1 for axes in panels)
    for axes in panels:
        box = axes.get_position()
        if box.y1 == top:
            axes.set_position([box.x0, box.y0, box.width, box.height - SECOND_AXIS / figure.get_figheight()])


def _draw_parameters(axes: Axes, axis: Axis) -> None:
    """The numbers of parameters above the widths that have a tick."""
    shown = [value for value in ticks(axis) if value in axis.parameters]
    above = axes.secondary_xaxis("top")
    above.set_xticks(axis.place(shown), [short(axis.parameters[value]) for value in shown])
    above.xaxis.set_minor_locator(NullLocator())
    above.tick_params(labelsize=7, length=2, pad=1)
    above.set_xlabel("parameters", size=7.5, color=GRAY, labelpad=2)


def short(count: int) -> str:
    """A number to three digits: 540, 25.4k, 1.56M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)


def _draw_keys(keys: Sequence[Axes], lines: Sequence[Line], axis: Axis, name: str) -> None:
    """Left the lowest test value, the peak (`peak`) and the last value; right where training examples are fitted."""
    quantity, has_thresholds = shown(name), name == "top1"
    tested, trained = [], []
    for line, color in zip(lines, colors(len(lines))):
        look = {"color": color} | STYLES[0]
        curve = line.first("test", name)
        cells = ["–"] * 3
        if curve is not None:
            fallen_to = (2 * curve.mean[0] + curve.mean[-1]) / 3 if axis.is_time else math.inf
            top = peak(curve, CLEAR if name == "top1" else 0.0, fallen_to)
            picked = [int(curve.mean.argmin()), *([top[1]] if top else [])]
            texts = [f"{quantity.written(curve.mean[p])} at {short_x(curve.steps[p])}" for p in picked]
            cells = [texts[0], texts[1] if top else "–", quantity.written(curve.mean[-1])]
        tested.append(KeyRow(look, (line.text, line.seeds, *cells)))
        curve = line.first("fit", name)
        first, last = ("–", "–") if curve is None else (quantity.written(curve.mean[place]) for place in (0, -1))
        places = [line.fitted(error, axis) for error in THRESHOLDS]
        if line.exact is not None:
            places[1] = line.exact
        places = ["–" if place is None else short_x(place) for place in places]
        trained.append(KeyRow(look, (line.text, *(places if has_thresholds else ["", first]), last)))
    width, bound = keys[0].get_xlim()[1], "up to" if axis.is_harder else "from"
    header = (quantity.label, "seeds", "lowest", "peak", "last")
    style.draw_key(keys[0], header, tested, [width * end for end in (0.41, 0.65, 0.87, 1.0)])
    bounds = [f"error ≤ {error:g} % {bound}" for error in THRESHOLDS]
    if any(line.exact is not None for line in lines):
        bounds[1] = "D = n at"
    if not has_thresholds:
        bounds = ["", "first"]
    header = (f"training, over {axis.symbol}", *bounds, "last")
    style.draw_key(keys[1], header, trained, [width * end for end in (0.58, 0.84, 1.0)])


def short_x(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

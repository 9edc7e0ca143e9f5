"""Deep Double Descent (arXiv 1912.02292): heat maps of the error over width and epochs, and over width and examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from trainers.figures import style
from trainers.figures.double_descent.frame import FEWEST, FITTED, SPLITS, axis_of, finished_drawing, is_logged, title_of
from trainers.figures.double_descent.lines import SIDES, Axis, ticks
from trainers.figures.double_descent.trials import (
    EXAMPLES,
    THRESHOLDS,
    Slice,
    Trials,
    steps_per_epoch,
    value_of,
)
from trainers.figures.records import Group, error_percent
from trainers.figures.style import GRAY, Drawing, NotDrawn

COLORS = "magma_r"
HEIGHT = 3.4  # inches
CONTOUR = "white line: training error of 10 %, on both sides; blank: no run"

Cells = Mapping[tuple[float, float], float]  # (width, what is upward) -> error in %, the mean over seeds


def draw(trials: Trials) -> Iterator[Drawing | NotDrawn]:
    """Figures 2, 9, 19, 20 and 25 (width and epochs), 12 and 14 (width and examples)."""
    width, title = trials.width, f"Heat map of widths and epochs: {trials.place}"
    if width is None or len(trials.varying[width]) < FEWEST or "top1" not in trials.logged("fit"):
        yield NotDrawn(title, f"no errors of {FEWEST} widths or more")
        return
    if is_logged(trials):
        for part in trials.slices(width):
            epoch = steps_per_epoch(part.points)
            yield _map(trials, part, "epochs" if epoch else "steps", _course(width, epoch), "width_epochs")
    elif not trials.is_exact:
        yield NotDrawn(title, "test and training error were not both logged during training")
    if len(trials.varying.get(EXAMPLES, ())) >= FEWEST:
        for part in trials.slices(width, EXAMPLES):
            yield _map(trials, part, "training examples n", _ends(width), "width_examples")


def _course(width: str, steps_per_epoch: float | None) -> Callable[[Group, str], Cells]:
    def cells(point: Group, side: str) -> Cells:
        curve = point.curve(SPLITS[side][0], "top1", error_percent)
        return {
            (value_of(point, width), step / (steps_per_epoch or 1)): float(error)
            for step, error in zip(curve.steps, curve.mean)
        }

    return cells


def _ends(width: str) -> Callable[[Group, str], Cells]:
    def cells(point: Group, side: str) -> Cells:
        measured = point.measured("top1", error_percent, of=SPLITS[side][1])
        place = value_of(point, width), value_of(point, EXAMPLES)
        return {} if measured is None or place[1] is None else {place: measured.mean}

    return cells


def _map(trials: Trials, part: Slice, upward: str, cells: Callable[[Group, str], Cells], name: str) -> Drawing:
    """Test error left, training error right, on one scale; the same contour on both."""
    found = {side: {k: v for point in part.points for k, v in cells(point, side).items()} for side in SIDES}
    kind = f"Widths and {upward.removesuffix(' n')}"
    title = title_of(trials, part, kind)
    columns = tuple(f"error on {examples} examples" for examples in SIDES.values())
    foot = CONTOUR + "; dash-dotted: D = n" * trials.is_exact
    figure, (row,), keys = style.panels(title, columns, key_rows=2, foot=foot, heights=(HEIGHT,))
    axis = axis_of(part, trials.width)
    for axes, key, side in zip(row, keys, SIDES):
        values = list(found[side].values()) or [0.0]
        norm = Normalize(min(values), max(max(values), min(values) + 1e-6))
        _draw_cells(axes, found[side], norm)
        _draw_contour(axes, found["fit"])
        if trials.is_exact:
            _draw_diagonal(axes)
        _finish(axes, axis, upward)
        _draw_scale(key, norm)
    row[1].set_ylabel("")
    means = ", the mean over seeds" * any(len(point.records) > 1 for point in part.points)
    caption = (
        f"Error{means}, over {axis.label} and {upward}: test left, training right, each with its own scale. The white "
        f"line is the threshold, a training error of {THRESHOLDS[0]:g} %. A horizontal cut is a curve over widths, "
        "a vertical one a curve over the other axis." + FITTED
    )
    return finished_drawing(trials, part, f"map_{name}", title, caption, figure)


def grid(cells: Cells) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places along both axes, and the error by [upward, width]: NaN where there is none."""
    across, upward = (np.array(sorted({place[axis] for place in cells})) for axis in (0, 1))
    errors = np.full((len(upward), len(across)), np.nan)
    for (x, y), error in cells.items():
        errors[np.searchsorted(upward, y), np.searchsorted(across, x)] = error
    return across, upward, errors


def edges(places: Sequence[float]) -> np.ndarray:
    """Where cells around places end, half way to the next on a logarithmic scale."""
    logs = np.log(places)
    if len(logs) == 1:
        return np.exp(logs[0] + np.array([-0.5, 0.5]))
    middles = (logs[1:] + logs[:-1]) / 2
    return np.exp(np.concatenate([[2 * logs[0] - middles[0]], middles, [2 * logs[-1] - middles[-1]]]))


def _draw_cells(axes: Axes, cells: Cells, norm: Normalize) -> None:
    across, upward, errors = grid(cells)
    axes.grid(False)
    if errors.size:
        axes.pcolormesh(
            edges(across), edges(upward), np.ma.masked_invalid(errors), cmap=COLORS, norm=norm, rasterized=True
        )


def _draw_contour(axes: Axes, fitted: Cells) -> None:
    across, upward, errors = grid(fitted)
    if min(errors.shape) >= 2 and np.nanmin(errors) <= THRESHOLDS[0] <= np.nanmax(errors):
        level = [THRESHOLDS[0]]
        axes.contour(across, upward, np.ma.masked_invalid(errors), level, colors=GRAY, linewidths=2.6)
        axes.contour(across, upward, np.ma.masked_invalid(errors), level, colors="white", linewidths=1.4)


def _draw_diagonal(axes: Axes) -> None:
    """As many features as examples."""
    limits = axes.get_xlim(), axes.get_ylim()
    ends = [max(low for low, _ in limits), min(high for _, high in limits)]
    axes.plot(ends, ends, color="white", linewidth=1.0, linestyle="-.", label="D = n")
    axes.set(xlim=limits[0], ylim=limits[1])


def _finish(axes: Axes, axis: Axis, upward: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel=axis.label, ylabel=upward)
    axes.xaxis.set_major_locator(FixedLocator(sorted(ticks(axis))))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if np.ptp(np.log10(axes.get_ylim())) < 2 else (1,)))
    for direction in (axes.xaxis, axes.yaxis):
        direction.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        direction.set_minor_locator(NullLocator())


def _draw_scale(axes: Axes, norm: Normalize) -> None:
    """The colours of errors from the lowest to the highest, in the place of a key."""
    left, right, y = 1.0, 4.2, -0.6
    box = (left, right, y - 0.25, y + 0.25)
    axes.imshow([np.linspace(norm.vmin, norm.vmax, 101)], cmap=COLORS, norm=norm, extent=box, aspect="auto")
    axes.set(xlim=(0, style.PANEL_WIDTH[2]), ylim=(-2.5, 0.5))
    axes.text(0, y, "error (%)", va="center", size=8, color=GRAY)
    for part in (0, 0.5, 1):
        error = norm.vmin + part * (norm.vmax - norm.vmin)
        axes.text(left + (right - left) * part, y - 0.5, f"{error:.1f}", ha="center", va="top", size=7.5, color=GRAY)

"""The common style of all figures: panels in a row, a key below each, the source of the paper's numbers at the foot."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from trainers.figures.records import Curve

GRAY = "#6b6b6b"
DPI = 200
PANEL_WIDTH = {1: 5.6, 2: 4.7, 3: 3.3}  # inches, by the number of panels
PANEL_HEIGHT = 2.9
LINE = 0.22  # inches, a row of the key
FOOT_LINE = 0.15  # inches
FOOT_LETTERS = 17  # that fit an inch
TITLE_LINE = 0.2
TITLE_LETTERS = 10
MARGINS = (0.62, 0.22)  # left and right, inches
AXIS_LABELS = 0.62  # numbers and label below the lowest axes
PAPER_SIZED = 20_000  # steps from which on an axis counts them in 1e4, as the papers do

_LOOK = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.labelcolor": "#333333",
    "axes.edgecolor": "#9a9a9a",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "path",
    "svg.hashsalt": "trainers.figures",  # the same figure gives the same file
}


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure of a report."""

    name: str  # of its files
    title: str
    caption: str
    figure: Figure
    shown: frozenset[str]  # experiments


@dataclasses.dataclass(frozen=True)
class NotDrawn:
    """A figure that a report leaves out, and why."""

    title: str
    reason: str


@dataclasses.dataclass(frozen=True)
class KeyRow:
    """A line of a key: how the curve looks, and a text per column."""

    line: Mapping[str, object]
    cells: tuple[str, ...]


@contextlib.contextmanager
def look() -> Iterator[None]:
    """Everything made, and everything saved, in this context has the common look."""
    # A matplotlibrc of the user's does not reach the figures; which backend is chosen is not ours to touch.
    default = {name: value for name, value in matplotlib.rcParamsDefault.items() if "backend" not in name}
    with matplotlib.rc_context({**default, **_LOOK}):
        yield


def panels(
    title: str,
    columns: Sequence[str],
    *,
    foot: str = "",
    key_rows: int = 0,
    heights: Sequence[float] = (PANEL_HEIGHT,),
    row_gap: float = 0.5,
) -> tuple[Figure, list[list[Axes]], list[Axes]]:
    """A figure of columns of axes, with a place for a key of `key_rows` lines below each.

    Args:
        columns: their titles; may be empty.
        foot: small print; every line is wrapped to the figure's width.
        heights: of the axes of a column, from top to bottom, in inches.
        row_gap: between axes, in inches; 0.5 leaves room for a label.

    Returns:
        The figure, the axes row by row, and the axes of the keys.
    """
    count, between, (left, right) = len(columns), 0.6, MARGINS
    width = PANEL_WIDTH[count]
    total_width = left + count * width + (count - 1) * between + right
    titles = textwrap.wrap(title, int((total_width - left - right) * TITLE_LETTERS))
    lines = [part for line in foot.splitlines() for part in textwrap.wrap(line, int(total_width * FOOT_LETTERS))]
    above = (0.5 if any(columns) else 0.28) + TITLE_LINE * len(titles)
    below = 0.2 + FOOT_LINE * len(lines)
    key = LINE * (key_rows + 1) if key_rows else 0.0
    total_height = above + sum(heights) + row_gap * (len(heights) - 1) + AXIS_LABELS + key + below
    figure = Figure(figsize=(total_width, total_height), facecolor="white")
    FigureCanvasAgg(figure)

    def place(column: int, bottom: float, height: float) -> Axes:
        x = left + column * (width + between)
        return figure.add_axes((x / total_width, bottom / total_height, width / total_width, height / total_height))

    tops = [total_height - above - sum(heights[:row]) - row_gap * row for row in range(len(heights))]
    rows = [[place(c, top - height, height) for c in range(count)] for top, height in zip(tops, heights)]
    keys = [place(column, below, key) for column in range(count)] if key_rows else []
    for axes, column in zip(rows[0], columns):
        axes.set_title(column, loc="left", color=GRAY)
    for axes in keys:
        axes.set_axis_off()
        axes.set(xlim=(0, width), ylim=(-key_rows - 0.5, 0.5))
    for number, line in enumerate(titles):
        y = 1 - (0.32 + TITLE_LINE * number) / total_height
        figure.text(left / total_width, y, line, size=11, weight="bold", color="#222222")
    for number, line in enumerate(reversed(lines)):
        figure.text(left / total_width, (0.1 + FOOT_LINE * number) / total_height, line, size=7.5, color=GRAY)
    if len(heights) > 1:  # one below the other: their labels in one line, whatever the width of the numbers
        for axes in sum(rows, []):
            axes.yaxis.set_label_coords(-0.42 / width, 0.5)
    return figure, rows, keys


def draw_curve(axes: Axes, curve: Curve, **line) -> None:
    """The mean as a line, and a band from the smallest to the largest where there are several runs."""
    if not len(curve.steps):
        return
    marker = "o" if len(curve.steps) == 1 else None  # a line of one point would not be seen
    (drawn,) = axes.plot(curve.steps, curve.mean, marker=marker, markersize=4, **line)
    if (curve.high > curve.low).any():
        axes.fill_between(
            curve.steps, curve.low, curve.high, color=drawn.get_color(), alpha=0.16, linewidth=0, zorder=1
        )


def draw_key(axes: Axes, header: tuple[str, ...], rows: Sequence[KeyRow], columns: Sequence[float]) -> None:
    """A small table with a piece of each curve.

    Args:
        columns: where each column after the first ends, in inches from the left.
    """
    axes.text(0, 0, header[0], ha="left", va="center", size=8, color=GRAY)
    for place, text in zip(columns, header[1:], strict=True):
        axes.text(place, 0, text, ha="right", va="center", size=8, color=GRAY)
    for y, row in enumerate(rows, start=1):
        axes.add_line(Line2D([0, 0.3], [-y, -y], **row.line))
        axes.text(0.4, -y, row.cells[0], ha="left", va="center", size=8.5)
        for place, text in zip(columns, row.cells[1:], strict=True):
            axes.text(place, -y, text, ha="right", va="center", size=8.5)


def step_axis(axes: Axes, last: int, label: str = "iterations") -> None:
    """Steps from 0 to the last one; counted in 1e4 in runs as long as the papers'."""
    axes.set_xlim(0, last or 1)
    if last >= PAPER_SIZED:
        axes.set_xlabel("iter. (1e4)" if label == "iterations" else f"{label} (1e4)")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1e4:g}"))
    else:
        axes.set_xlabel(label)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def as_png(figure: Figure) -> bytes:
    return _saved(figure, "png", dpi=DPI, metadata={"Software": None})


def as_svg(figure: Figure) -> bytes:
    return _saved(figure, "svg", metadata={"Date": None})


def _saved(figure: Figure, kind: str, **options) -> bytes:
    file = io.BytesIO()
    with look():
        figure.savefig(file, format=kind, **options)
    return file.getvalue()

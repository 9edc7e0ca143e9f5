"""Training curves of any run: loss, main metric and learning rate over the steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from trainers.figures import style
from trainers.figures.records import DATA_NAMES, Group
from trainers.figures.shown import main_metric, shown
from trainers.figures.style import Drawing, KeyRow, NotDrawn

SPLITS = {  # of metrics.jsonl: name, line
    "train": ("training", {"color": "#7f7f7f", "linewidth": 1.0}),
    "eval": ("evaluation", {"color": "#1f5fa8", "linewidth": 2.0}),
}

HEIGHTS = {"lr": 0.8}  # inches; others have 2
LABELS = {"loss": "loss", "lr": "lr"}  # of what is no metric of the paper
NAMES = {"loss": "loss", "lr": "learning rate"}  # of the same, in captions


def draw(groups: Sequence[Group]) -> Iterator[Drawing | NotDrawn]:
    """A figure for each group of runs."""
    for group in groups:
        same = [other for other in groups if (other.name, other.data) == (group.name, group.data)]
        name = f"training_{group.name}_{group.data.slug}" + (f"_{same.index(group) + 1}" if len(same) > 1 else "")
        title = f"{group.name} on {group.data.beside(group.experiment.data.name)}"
        yield _figure(group, name, title) if _logged(group) else NotDrawn(title, "nothing is logged yet")


def _logged(group: Group) -> set[str]:
    return set().union(*(row for record in group.records for row in record.rows))


def _figure(group: Group, name: str, title: str) -> Drawing:
    """Panels one below the other: the loss, the metric that the paper reports, the learning rate."""
    logged = _logged(group)
    metric = main_metric(group, logged)
    quantities = [quantity for quantity in ("loss", metric, "lr") if quantity in logged]
    seeds = ", ± standard deviation, bands smallest to largest" if len(group.records) > 1 else ""
    papers = group.experiment.data.name
    foot = f"ours: {group.data.title}{seeds}; paper: {DATA_NAMES.get(papers, papers)}\n{group.experiment.paper.row}"
    parts = [group.records[0].settings.get(f"data.{part}_split") for part in ("validation", "test")]
    foot += "\nevaluation: validation split; paper: test split" * (parts[0] != parts[1])
    foot += "\nrecipe changed by --set" * group.is_changed
    heights = [HEIGHTS.get(quantity, 2.0) for quantity in quantities]
    figure, rows, (key,) = style.panels(title, [""], key_rows=2, foot=foot, heights=heights, row_gap=0.2)
    for (axes,), quantity in zip(rows, quantities):
        _draw_quantity(axes, group, quantity)
        style.step_axis(axes, max(record.last_step for record in group.records), "steps")
    for (axes,) in rows[:-1]:
        axes.set_xlabel("")
        axes.tick_params(labelbottom=False)
    _draw_key(key, group, metric)
    return Drawing(name, title, _caption(group, quantities), figure, frozenset([group.name]))


def _draw_quantity(axes: Axes, group: Group, quantity: str) -> None:
    change = float if quantity in LABELS else shown(quantity).change
    drawstyle = "steps-pre" if quantity == "lr" else "default"
    for split, (name, line) in SPLITS.items():
        style.draw_curve(axes, group.curve(split, quantity, change), **line, label=name, drawstyle=drawstyle)
    axes.set_ylabel(LABELS.get(quantity) or shown(quantity).label)
    if quantity == "lr":
        _log_axis(axes, (1,))
    elif quantity in ("loss", "perplexity"):
        _log_axis(axes, (1, 2, 5))
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(5))


def _log_axis(axes: Axes, ticks: Sequence[int]) -> None:
    """A logarithmic scale, with these ticks per decade, for numbers that are positive and differ widely."""
    values = [value for line in axes.get_lines() for value in line.get_ydata()]
    if values and 0 < 5 * min(values) < max(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=ticks if max(values) < 1000 * min(values) else (1,)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())


def _draw_key(axes: Axes, group: Group, metric: str | None) -> None:
    label, change, digits = shown(metric or "loss")
    rows = []
    for split, (name, line) in SPLITS.items():
        last = group.last(split, metric or "loss", change)
        printed = group.experiment.paper.numbers.get(metric) if split == "eval" else None
        ours = "unfinished" if last is None else f"{last:.{digits}f}"
        papers = "–" if printed is None else f"{change(printed):.{digits}f}"
        rows.append(KeyRow(line, (name, group.seeds if len(group.finished) else "0", ours, papers)))
    header = (f"{label}, at the end", "seeds", "ours", "paper")
    style.draw_key(axes, header, rows, [axes.get_xlim()[1] * place for place in (0.42, 0.66, 1.0)])


def _caption(group: Group, quantities: Sequence[str]) -> str:
    experiment = group.experiment
    finished = "" if len(group.finished) == len(group.records) else f" Some runs are unfinished: {group.seeds}."
    names = [NAMES.get(quantity) or shown(quantity).label for quantity in quantities]
    return f"{experiment.summary} ({experiment.paper.row}): {', '.join(names)} over the steps.{finished}"

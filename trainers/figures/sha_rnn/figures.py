"""Language models (SHA-RNN, Merity 2019, arXiv 1911.11423): learning curves over the text read and over time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from trainers.figures import style
from trainers.figures.members import Member, averaging_note, foot_of, ours, unfinished_note
from trainers.figures.records import Curve, Data, Group
from trainers.figures.sha_rnn import attention
from trainers.figures.sha_rnn.models import (
    UNITS,
    compressors_of,
    has_printed,
    is_papers,
    logged,
    members_by_data,
    metric_of,
    place,
)
from trainers.figures.shown import shown
from trainers.figures.style import GRAY, Drawing, KeyRow, NotDrawn

LINES = {"train": {"linewidth": 0.9}, "eval": {"linewidth": 2.0}}
OF_LOSS = {  # metric -> from a loss in nats, and back
    "bpc": (lambda nats: nats / math.log(2), lambda bits: bits * math.log(2)),
    "perplexity": (np.exp, np.log),
}
AMOUNTS = {"thousands": 1e3, "millions": 1e6, "billions": 1e9}
DURATIONS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}
TO_THE_RIGHT = 0.55  # inches of a panel that go to what stands to the right of it
LABEL_GAP = 0.042  # between labels of compressors, as a part of the axes' height


def draw(groups: Sequence[Group]) -> Iterator[Drawing | NotDrawn]:
    """The curves of all language models, data set by data set, and the attention of each that has one."""
    for data, members in members_by_data(groups):
        yield from _learning(members, data)
        yield from attention.draw(members, data)


# Loss over what was read, and over time


def _learning(members: Sequence[Member], data: Data) -> Iterator[Drawing | NotDrawn]:
    """The curves of the runs that logged how much they had read and how long it took; of the others, why not."""
    metric = metric_of(members)
    title = f"Learning curves on {place(members, data)}"
    chosen = [member for member in members if {"loss", "seconds", UNITS[metric]} <= logged(member)]
    left = [member for member in members if member not in chosen]
    if chosen:
        drawing = _learning_curves(chosen, data, metric, title)
        # Another recipe of an experiment that is left out here is to be drawn elsewhere.
        yield dataclasses.replace(drawing, shown=drawing.shown - {member.group.name for member in left})
    for member in left:
        missing = f"a run of an older version, which did not log {UNITS[metric]} and seconds"
        yield NotDrawn(title, f"{member.name}: {missing if logged(member) else 'nothing was logged yet'}")


def _learning_curves(members: Sequence[Member], data: Data, metric: str, title: str) -> Drawing:
    unit = UNITS[metric]
    dotted, reference = _reference(members)
    foot = _foot(members, data, dotted)
    columns = (f"over the {unit} read", "over the time spent in training")
    figure, (row,), keys = style.panels(title, columns, key_rows=len(members), foot=foot)
    axes_of = {unit: (row[0], f"{unit} read ({{}})", AMOUNTS), "seconds": (row[1], "training time ({})", DURATIONS)}
    curves = []
    for over, (axes, label, scales) in axes_of.items():
        curves += _draw_curves(axes, members, metric, over=over, label=label, scales=scales)
    _finish(figure, row, curves, metric, reference)
    _draw_keys(keys, members, metric)
    shown = frozenset(member.group.name for member in members)
    return Drawing(f"learning_{data.slug}", title, _caption(members, data, metric, dotted), figure, shown)


def _reference(members: Sequence[Member]) -> tuple[str, Mapping[str, float]]:
    """What the dotted lines are, and bits per character by compressor: after the training part if that is known."""
    compressors = compressors_of(members)
    if len(compressors) != 1:  # of several texts, no line would belong to all curves
        return "no compressors: runs were tested on different texts" if compressors else "", {}
    use, numbers = next(reversed(next(iter(compressors.values())).items()))
    return f"dotted: compressors on the test part, {use}", numbers


def _draw_curves(
    axes: Axes, members: Sequence[Member], metric: str, *, over: str, label: str, scales: Mapping[str, float]
) -> list[Curve]:
    """Draws every member's curves over a logged number, in the largest of the scales that fits, and returns them."""
    to_metric = OF_LOSS[metric][0]
    curves = [(m, split, m.group.curve(split, "loss", to_metric, over=over)) for m in members for split in LINES]
    curves = [(member, split, curve) for member, split, curve in curves if len(curve.steps)]
    last = max(curve.steps[-1] for *_, curve in curves)
    scale = next((name for name in reversed(scales) if scales[name] <= last / 2), next(iter(scales)))
    for member, split, curve in curves:
        scaled = dataclasses.replace(curve, steps=curve.steps / scales[scale])
        style.draw_curve(axes, scaled, **member.line, **LINES[split], label=f"{member.name}, {split}")
    axes.set(xlim=(0, last / scales[scale]), xlabel=label.format(scale))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    return [curve for *_, curve in curves]


def _finish(
    figure: Figure, row: Sequence[Axes], curves: Sequence[Curve], metric: str, reference: Mapping[str, float]
) -> None:
    """One scale for both panels, without the first steps; compressors named at the left, nats at the right."""
    ends = [curve.mean[-1] for curve in curves]
    lowest, highest = (pick([*ends, *reference.values()]) for pick in (min, max))
    for axes in row:
        if metric == "perplexity":
            axes.set_yscale("log")
            axes.set_ylim(lowest / 1.2, highest * 4)
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            axes.yaxis.set_minor_locator(NullLocator())
        else:
            room = 0.1 * highest
            axes.set_ylim(max(0, lowest - room), max(highest + room, 1.6 * max(ends)))
            axes.yaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10)))
        for value in reference.values():
            axes.axhline(value, color=GRAY, linewidth=0.9, linestyle=":", zorder=1)
        box = axes.get_position()
        axes.set_position([box.x0, box.y0, box.width - TO_THE_RIGHT / figure.get_figwidth(), box.height])
    left, right = row
    left.set_ylabel(shown(metric).label)
    right.tick_params(labelleft=False)
    loss = right.secondary_yaxis("right", functions=OF_LOSS[metric][::-1])
    loss.set_ylabel("loss (nats)")
    loss.yaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10)))
    loss.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    loss.spines["right"].set_visible(True)
    _label_lines(left, reference)


def _label_lines(axes: Axes, values: Mapping[str, float]) -> None:
    """Names horizontal lines at their right ends, from the lowest up, each clear of the one below."""
    low, high = axes.get_ylim()
    free = 0.0
    for name, value in sorted(values.items(), key=lambda item: item[1]):
        height = max((value - low) / (high - low), free)
        text = f"{name}  {value:.2f}"
        axes.text(1.015, height, text, transform=axes.transAxes, size=7, color=GRAY, va="center")
        free = height + LABEL_GAP


def _draw_keys(keys: Sequence[Axes], members: Sequence[Member], metric: str) -> None:
    """Left what was logged at the end, right what was tested beside the paper's number."""
    label, _, digits = shown(metric)
    to_metric = OF_LOSS[metric][0]

    def written(number) -> str:
        return "unfinished" if number is None else f"{number:.{digits}f}"

    logged, tested = [], []
    for member in members:
        group = member.group
        ends = [written(group.last(split, "loss", to_metric)) for split in LINES]
        printed = group.experiment.paper.numbers.get(metric)
        logged.append(KeyRow(member.line | LINES["eval"], (member.name, str(len(group.finished)), *ends)))
        cells = (member.name, written(group.measured(metric)), "–" if printed is None else written(printed))
        tested.append(KeyRow(member.line | LINES["eval"], cells))
    width = keys[0].get_xlim()[1]
    header = (label, "seeds", "training", "validation")
    style.draw_key(keys[0], header, logged, [width * end for end in (0.53, 0.77, 1.0)])
    style.draw_key(keys[1], (label, "test", "paper, test"), tested, [width * end for end in (0.68, 1.0)])


def _foot(members: Sequence[Member], data: Data, dotted: str) -> str:
    """What the figure must say if it stands alone: what lines mean, whose numbers are whose, how recipes differ."""
    settings = [member.group.records[0].settings.items() for member in members]
    drops = any(rate for items in settings for path, rate in items if path.endswith("dropout"))
    lines = f"thin: training{', with dropout' * drops}; bold: validation"
    return foot_of(members, lines, dotted, ours(members, data) + "; paper: enwik8" * has_printed(members))


def _caption(members: Sequence[Member], data: Data, metric: str, dotted: str) -> str:
    label, unit = shown(metric).label, UNITS[metric]
    return "".join(
        (
            f"Training (thin) and validation (bold): {label} over the {unit} read, and over the time spent "
            "in training steps, including compilation; the right axis shows the same as a loss in nats. The first "
            "steps are above the frame.",
            f" {dotted.capitalize()}." if dotted else "",
            " The paper's finding on enwik8: the LSTM stack without attention is far behind; a single head in "
            "one layer is nearly as good as one in every layer (Merity 2019)." * has_printed(members),
            f" These runs are on {data.title}: do not compare their height with the paper's numbers."
            if has_printed(members) and not is_papers(members)
            else "",
            averaging_note(members, "loss", "Training losses"),
            unfinished_note(members),
        )
    )

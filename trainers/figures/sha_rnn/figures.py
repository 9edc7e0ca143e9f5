"""Language models (SHA-RNN, Merity 2019, arXiv 1911.11423): how runs learnt, and what their attention looks at."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from trainers.figures import style
from trainers.figures.records import DATA_NAMES, MANY_POINTS, Curve, Data, Group, Record
from trainers.figures.style import GRAY, Drawing, KeyRow, NotDrawn
from trainers.figures.tables import METRICS

NETS = {  # experiment -> title and colour
    "sha_lstm_enwik8": ("SHA-LSTM without attention", "#9a9a00"),
    "sha_rnn_enwik8": ("single-headed SHA-RNN", "#d62728"),
    "sha_rnn_enwik8_4head": ("4-headed SHA-RNN", "#1f5fa8"),
    "sha_rnn_enwik8_no_boom": ("SHA-RNN without Boom", "#e08a1e"),
    "plain_lstm_enwik8": ("plain LSTM", "#1a1a1a"),
    "sha_rnn_wikitext103": ("SHA-RNN (WikiText-103)", "#1b8a2f"),
    "sha_rnn_wikitext2": ("SHA-RNN (WikiText-2)", "#00a5b5"),
}
OTHER_COLOR = "#7a4fb5"
OPACITY = (1.0, 0.55, 0.3)  # of several recipes of one network
LINES = {"train": {"linewidth": 0.9}, "eval": {"linewidth": 2.0}}
UNITS = {"bpc": "bytes", "perplexity": "words"}  # metric of a text -> what it is read in
OF_LOSS = {  # metric -> from a loss in nats, and back
    "bpc": (lambda nats: nats / math.log(2), lambda bits: bits * math.log(2)),
    "perplexity": (np.exp, np.log),
}
AMOUNTS = {"thousands": 1e3, "millions": 1e6, "billions": 1e9}
DURATIONS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}
TO_THE_RIGHT = 0.55  # inches of a panel that go to what stands to the right of it
LABEL_GAP = 0.042  # between labels of compressors, as a part of the axes' height
HEATMAP = (2.3, 1.6)  # inches: of one or two layers, of more
WORD = 9  # letters that a figure has room for


def draw(groups: Sequence[Group]) -> Iterator[Drawing | NotDrawn]:
    """The curves of all language models, data set by data set, and the attention of each that has one."""
    for data, members in members_by_data(groups):
        yield from _learning(members, data)
        yield from (_attention(member, data) for member in members if _has_attention(member.group.records[0]))


def shows_attention(record: Record) -> bool:
    """Whether a figure has a place for the attention of a run."""
    return record.is_finished and _has_attention(record)


def _has_attention(record: Record) -> bool:
    return bool(record.settings.get("model.attention_layers"))


# What figures and tables have in common


@dataclasses.dataclass(frozen=True)
class Member:
    """The runs of one recipe in a figure."""

    group: Group
    number: int  # among the recipes of this experiment

    @property
    def name(self) -> str:
        return title_of(self.group.name) + (f" ({'abcdefgh'[self.number % 8]})" if self.group.note else "")

    @property
    def line(self) -> dict:
        color = NETS.get(self.group.name, ("", OTHER_COLOR))[1]
        return {"color": color, "alpha": OPACITY[min(self.number, len(OPACITY) - 1)]}

    @property
    def logged(self) -> set[str]:
        """The names of all numbers that a run logged."""
        return set().union(*(row for record in self.group.records for row in record.rows))

    @property
    def attentive(self) -> Record | None:
        """The run whose attention is shown: the first that was measured."""
        return next((record for record in self.group.finished if record.attention_weights), None)


def members_by_data(groups: Sequence[Group]) -> Iterator[tuple[Data, list[Member]]]:
    """The runs of language models, data set by data set."""
    chosen = [group for group in groups if group.experiment.task == "language_modelling"]
    for data in sorted({group.data for group in chosen}):
        same = [group for group in chosen if group.data == data]
        names = [group.name for group in same]
        yield data, [Member(group, names[:place].count(group.name)) for place, group in enumerate(same)]


def title_of(experiment: str) -> str:
    return NETS.get(experiment, (experiment,))[0]


def metric_of(members: Sequence[Member]) -> str:
    """The metric of their text: "perplexity" if it is read in words, else "bpc"."""
    return "perplexity" if any("perplexity" in member.logged for member in members) else "bpc"


def papers_data(members: Sequence[Member]) -> str:
    """The data set that the recipes are for, or the data sets."""
    names = dict.fromkeys(member.group.experiment.data.name for member in members)
    return " or ".join(DATA_NAMES.get(name, name) for name in names)


def has_printed(members: Sequence[Member]) -> bool:
    """Whether the paper has a number for one of them; all that it has are on enwik8."""
    return any("bpc" in member.group.experiment.paper.numbers for member in members)


def place(members: Sequence[Member], data: Data) -> str:
    """ "enwik8", or "the embedded Wikipedia sample, not enwik8"."""
    return data.title if is_papers(members) else f"{data.title}, not {papers_data(members)}"


def is_papers(members: Sequence[Member]) -> bool:
    """Whether all of them ran on the data that their recipe is for."""
    return all(member.group.is_on_papers_data for member in members)


def compressors_of(members: Sequence[Member]) -> dict[str, Mapping[str, Mapping[str, float]]]:
    """By the text that runs were tested on: bits per character by how compressors are used, then by compressor."""
    found = {}
    for member in members:
        settings = member.group.records[0].settings
        numbers = member.group.fact("compressors")
        if numbers:
            found.setdefault(f"{settings['data.test_split']} (training part: {settings['data.train_split']})", numbers)
    return found


# Loss over what was read, and over time


def _learning(members: Sequence[Member], data: Data) -> Iterator[Drawing | NotDrawn]:
    """The curves of the runs that logged how much they had read and how long it took; of the others, why not."""
    metric = metric_of(members)
    title = f"Learning curves on {place(members, data)}"
    chosen = [member for member in members if {"loss", "seconds", UNITS[metric]} <= member.logged]
    left = [member for member in members if member not in chosen]
    if chosen:
        drawing = _learning_curves(chosen, data, metric, title)
        # Another recipe of an experiment that is left out here is to be drawn elsewhere.
        yield dataclasses.replace(drawing, shown=drawing.shown - {member.group.name for member in left})
    for member in left:
        missing = f"a run of an older version, which did not log {UNITS[metric]} and seconds"
        yield NotDrawn(title, f"{member.name}: {missing if member.logged else 'nothing was logged yet'}")


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
    left.set_ylabel(METRICS[metric].label)
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
    label, _, digits = METRICS[metric]
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
    several = any(len(member.group.records) > 1 for member in members)
    seeds = ", ± standard deviation, bands smallest to largest" if several else ""
    recipes = dict.fromkeys(f"{member.name}: {member.group.note}" for member in members if member.group.note)
    changed = ", ".join(dict.fromkeys(member.name for member in members if member.group.is_changed))
    settings = [member.group.records[0].settings.items() for member in members]
    drops = any(rate for items in settings for path, rate in items if path.endswith("dropout"))
    lines = (
        f"thin: training{', with dropout' * drops}; bold: validation",
        dotted,
        f"ours: {data.title}, at the end{seeds}" + "; paper: enwik8" * has_printed(members),
        changed and f"recipe changed by --set: {changed}",
    )
    return "\n".join(filter(None, (*lines, *recipes)))


def _caption(members: Sequence[Member], data: Data, metric: str, dotted: str) -> str:
    label, unit = METRICS[metric].label, UNITS[metric]
    unfinished = ", ".join(dict.fromkeys(member.name for member in members if not member.group.finished))
    records = [record for member in members for record in member.group.records]
    is_long = any(len(record.points("train", "loss")) > MANY_POINTS for record in records)
    return "".join(
        (
            f"Training (thin) and validation (bold): {label} over the {unit} read, and over the time in "
            "training steps, the compilation of the first one included; at the right edge the same as a loss in nats. "
            "The first steps are above the frame.",
            f" {dotted.capitalize()}." if dotted else "",
            " What the paper shows on enwik8: without attention the LSTM stack is far behind; with a single head in "
            "one layer it is nearly as good as with one in every layer (Merity 2019)." * has_printed(members),
            f" These runs are on {data.title}: their height may not be compared with the paper's numbers."
            if has_printed(members) and not is_papers(members)
            else "",
            " Training losses are means between two evaluations." if is_long else "",
            f" Not finished: {unfinished}." if unfinished else "",
        )
    )


# Attention


def _attention(member: Member, data: Data) -> Drawing | NotDrawn:
    """Where the queries of a passage look, a panel a layer: the passage from left to right, the way back upwards."""
    title = f"Attention of {member.name}"
    if member.attentive is None:
        return NotDrawn(f"{title} on {data.title}", "no finished run with measured weights")
    record, measured = member.attentive, member.attentive.attention_weights
    layers, edges = measured["layers"], np.array(measured["edges"])
    count, unit = len(measured["passage"]), measured["unit"]
    foot = (
        f"{place([member], data)}, seed {record.seed}\n"
        f"passage: {count} {unit}s of the test part from {unit} {measured['begin']:,} on, where the memory has "
        f"{measured['memory']:,} rows\ngray line: where the passage begins; ↵: line break; □: no letter"
    )
    heights = [HEATMAP[len(layers) > 2]] * len(layers)
    titles = [f"layer {layer['layer']}: {100 * layer['share']:.0f} % of all weight above the line" for layer in layers]
    figure, rows, (key,) = style.panels(title, titles[:1], key_rows=1, foot=foot, heights=heights, row_gap=0.4)
    norm = PowerNorm(0.5, vmin=0, vmax=max(np.max(layer["weights"]) for layer in layers))
    for (axes,), layer, above in zip(rows, layers, titles):
        _draw_heatmap(axes, np.array(layer["weights"]).T, edges, norm)
        axes.set_title(above, loc="left", color=GRAY)
        axes.set_xticks([])
    _write_passage(rows[-1][0], measured["passage"], unit)
    _draw_scale(key, norm)
    caption = (
        f"The passage stands below, {unit} by {unit}; above each {unit} the weights of the attention that has just "
        "read it, to predict the next. Upwards the positions that it looks back at, 0 its own; further back several "
        "share a cell, which has the colour of the largest of their weights. The gray line is where the passage "
        "begins: what is above it comes from memory. Layers are counted from 0. The passage is the first line after "
        "the memory has filled, read from the beginning of the test part."
    )
    name = f"attention_{member.group.name}_{data.slug}" + (f"_{member.number + 1}" if member.group.note else "")
    return Drawing(name, title, caption, figure, frozenset())


def _draw_heatmap(axes: Axes, weights: np.ndarray, edges: np.ndarray, norm: PowerNorm) -> None:
    """Weights [bins, passage] over bins of positions back that begin at `edges` [bins + 1]."""
    bins, count = weights.shape
    axes.imshow(weights, cmap="Blues", norm=norm, aspect="auto", origin="lower", interpolation="nearest")
    axes.grid(False)
    begins = _height(edges, np.arange(1, count + 1), 0.0)  # of what the first position of the passage looks back at
    axes.stairs(begins.clip(max=bins - 0.5), np.arange(count + 1) - 0.5, baseline=None, color=GRAY, linewidth=0.8)
    ticks = [back for back in (0, *(4**power for power in range(1, 8))) if back < edges[-1]]
    axes.set_yticks(_height(edges, np.array(ticks), 0.5), [f"{back:,}" for back in ticks])
    axes.set(ylabel="positions back", ylim=(-0.5, bins - 0.5), xlim=(-0.5, count - 0.5))


def _height(edges: np.ndarray, back: np.ndarray, within: float) -> np.ndarray:
    """Where positions back stand among the bins; `within` the position: 0 at its beginning, 0.5 in its middle."""
    return np.interp(back + within, edges, np.arange(len(edges))) - 0.5


def _write_passage(axes: Axes, passage: Sequence[str], unit: str) -> None:
    """The passage along the axis: letters upright, words upwards and cut to their first letters."""
    words = [word if len(word) <= WORD else f"{word[: WORD - 1]}…" for word in passage]
    axes.set_xticks(range(len(words)), words, family="monospace", size=7, rotation=90 if unit == "word" else 0)
    axes.tick_params(axis="x", length=0, pad=3)
    if unit == "byte":  # words take all the room
        axes.set_xlabel("the passage, as it is read")
    for text in axes.get_xticklabels():
        text.set_parse_math(False)


def _draw_scale(axes: Axes, norm: PowerNorm) -> None:
    """The colours of weights from 0 to the largest, in the place of a key."""
    left, right, y = 1.8, 4.2, -0.5
    colors = norm.inverse(np.linspace(0, 1, 101))
    box = (left, right, y - 0.25, y + 0.25)
    axes.imshow([colors], cmap="Blues", norm=norm, extent=box, aspect="auto", interpolation="nearest")
    axes.set(xlim=(0, style.PANEL_WIDTH[1]), ylim=(-1.5, 0.5))
    axes.text(0, y, "largest weight in a cell", va="center", size=8, color=GRAY)
    for part in (0, 0.5, 1):
        weight = float(norm.inverse(part))
        axes.text(left + (right - left) * part, y - 0.45, f"{weight:.2g}", ha="center", va="top", size=7.5, color=GRAY)

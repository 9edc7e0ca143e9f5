"""Language models (SHA-RNN, Merity 2019, arXiv 1911.11423): heat maps of what attention looks at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm

from trainers.figures import style
from trainers.figures.measurements import Measurement
from trainers.figures.members import Member
from trainers.figures.records import Data, Record
from trainers.figures.sha_rnn.models import place
from trainers.figures.style import GRAY, Drawing, NotDrawn

HEATMAP = (2.3, 1.6)  # inches: of one or two layers, of more
WORD = 9  # letters that a figure has room for


def _has_attention(record: Record) -> bool:
    return bool(record.settings.get("model.attention_layers"))


WEIGHTS = Measurement(
    name="attention_weights",
    key="weights",
    module="trainers.tasks.text.attention_weights",
    figure="attention weights",
    is_shown=lambda record: record.is_finished and _has_attention(record),
)


def draw(members: Sequence[Member], data: Data) -> Iterator[Drawing | NotDrawn]:
    """A figure for each recipe with attention."""
    return (_figure(member, data) for member in members if _has_attention(member.group.records[0]))


def measured_run(member: Member) -> Record | None:
    """The run whose attention is shown: the first that was measured."""
    return next((record for record in member.group.finished if WEIGHTS.name in record.measured), None)


def _figure(member: Member, data: Data) -> Drawing | NotDrawn:
    """Attention weights of a passage, one panel per layer: the passage from left to right, positions back upwards."""
    title = f"Attention of {member.name}"
    record = measured_run(member)
    if record is None:
        return NotDrawn(f"{title} on {data.title}", "no finished run with measured weights")
    measured = record.measured[WEIGHTS.name]
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
        f"The passage runs along the bottom, {unit} by {unit}; above each {unit} are the attention weights after "
        "reading it, used to predict the next. The vertical axis is the number of positions back, 0 being its own; far "
        "back several positions share a cell, coloured by the largest of their weights. The gray line is where the "
        "passage begins: everything above it comes from memory. Layers are counted from 0. The passage is the first "
        "line after the memory has filled, read from the beginning of the test part."
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

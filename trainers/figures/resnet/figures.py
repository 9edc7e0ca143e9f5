"""Figures 1, 4, 6 and 7 of ResNet (He et al. 2016, arXiv 1512.03385), redrawn from runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from flags import catalog
from flags.papers.resnet import CIFAR, IMAGENET
from trainers.figures import style
from trainers.figures.measurements import Measurement
from trainers.figures.members import Member, averaging_note, foot_of, has_bands, ours, unfinished_note
from trainers.figures.records import DATA_NAMES, Curve, Data, Group, Record, error_percent
from trainers.figures.style import Drawing, KeyRow, NotDrawn

# The right ends of the printed curves, read off by eye: test and training error in %, ±0.3 on CIFAR-10, ±1 on ImageNet.
FIGURE_6_ENDS = {"plain20": (9.7, 1.4), "plain32": (10.1, 1.2), "plain44": (11.5, 3.0), "plain56": (13.3, 5.9)}
FIGURE_4_ENDS = {"plain18": (31.3, 31.0), "plain34": (32.5, 33.0), "resnet18": (31.1, 30.0), "resnet34": (28.3, 24.5)}
# The largest and smallest standard deviation of the printed curves, read off by eye: ±0.1.
FIGURE_7_ENDS = {"plain20": (2.3, 1.3), "plain56": (2.4, 1.0), "resnet56": (3.0, None), "resnet110": (3.4, 0.65)}
TABLE_6_MEANS = {"resnet110": "6.61 ± 0.16"}  # of five runs; `flags.papers.resnet` has the best, 6.43

COLORS = {  # by layers, as printed, but quieter
    18: "#00a5b5",
    20: "#9a9a00",
    32: "#00a5b5",
    34: "#d62728",
    44: "#1b8a2f",
    56: "#d62728",
    110: "#1a1a1a",
    1202: "#c030c0",
}
LATE = 35_000  # where the right panel of Figure 6 begins
THIN = {"linewidth": 0.9}
BOLD = {"linewidth": 2.0}
PRINTED_SCALES = {  # of errors: ends and ticks
    Data("cifar10", "paper"): (0, 5, 10, 20),
    Data("imagenet2012", "paper"): (20, 30, 40, 50, 60, 63),
}
FIGURE_7_NETS = ("plain20", "plain56", "resnet20", "resnet56", "resnet110")
FAMILIES = {  # endings of experiments on CIFAR-10: what ends the names of their files, what their titles add
    "_cifar10": ("", ""),
    "_cifar10_45k": ("_45k", " (5,000 training images for validation)"),
}

Nets = Mapping[str, Sequence[Group]]  # by the network's name in the recipes; several groups are several recipes


def draw(groups: Sequence[Group]) -> Iterator[Drawing | NotDrawn]:
    """The figures that have a run of at least one of their networks; of the others, why not."""
    for data, family, nets in cifar_nets(groups):
        yield from (figure(nets, data, family) for figure in (_figure_1, _figure_6, _figure_7))
    for data, nets in imagenet_nets(groups):
        yield _figure_4(nets, data)


def cifar_nets(groups: Sequence[Group]) -> Iterator[tuple[Data, str, Nets]]:
    """The runs of section 4.2: data, family and networks, data set by data set."""
    for family in FAMILIES:
        for data, nets in _by_data(groups, {f"{net}{family}": net for net in CIFAR}):
            yield data, family, nets


def imagenet_nets(groups: Sequence[Group]) -> Iterator[tuple[Data, Nets]]:
    """The runs of section 4.1, data set by data set."""
    return _by_data(groups, {net: net for net in IMAGENET})


def _by_data(groups: Sequence[Group], names: Mapping[str, str]) -> Iterator[tuple[Data, Nets]]:
    chosen = [group for group in groups if group.name in names]
    for data in sorted({group.data for group in chosen}):
        nets: dict[str, list[Group]] = {}
        for group in chosen:
            if group.data == data:
                nets.setdefault(names[group.name], []).append(group)
        yield data, nets


def title_of(net: str) -> str:
    """How the paper writes a network: "ResNet-34 B" for resnet34_b."""
    name, _, shortcut = net.replace("resnet", "ResNet-").replace("plain", "plain-").partition("_")
    return f"{name} {shortcut.upper()}".strip()


def layers_of(net: str) -> int:
    return int("".join(filter(str.isdigit, net)))


def paper_cifar(net: str) -> str | None:
    """The paper's test error on CIFAR-10 in %: of Table 6, else read off Figure 6 (≈)."""
    error = printed_error(f"{net}_cifar10", "top1")
    return _read_off(FIGURE_6_ENDS, net, 0) if error is None else TABLE_6_MEANS.get(net, f"{error:.2f}")


def printed_error(experiment: str, metric: str) -> float | None:
    """The error in % that the paper prints for an experiment."""
    numbers = catalog.get(experiment).paper.numbers
    return error_percent(numbers[metric]) if metric in numbers else None


def _read_off(ends: Mapping[str, Sequence[float | None]], net: str, column: int) -> str | None:
    value = ends.get(net, (None, None))[column]
    return None if value is None else f"≈ {value}"


# What the figures have in common


def _members(nets: Nets, names: Sequence[str]) -> list[Member]:
    return [
        Member(net, title_of(net), COLORS[layers_of(net)], group, number)
        for net in names
        for number, group in enumerate(nets.get(net, ()))
    ]


def _foot(members: Sequence[Member], lines: str, papers: str, source: str) -> str:
    """What a figure must say if it stands alone: what lines mean, whose numbers are whose, how recipes differ."""
    numbers = f"{ours(members, members[0].group.data)}; paper: {DATA_NAMES[papers]}, {source}"
    return foot_of(members, lines, numbers)


def _notes(members: Sequence[Member], papers: str) -> str:
    """What a caption adds about these runs."""
    data = members[0].group.data
    return "".join(
        (
            f" These runs are on {data.beside(papers)}: compare the curves' shape with the paper's, not their height."
            if data.name != papers
            else "",
            " Lines are means over seeds, bands span the smallest to the largest."
            if has_bands(member.group for member in members)
            else "",
            unfinished_note(members),
        )
    )


def _averaging(members: Sequence[Member]) -> str:
    return averaging_note(members, "top1", "Training errors")


def _drawing(name: str, title: str, caption: str, figure: Figure, members: Sequence[Member]) -> Drawing:
    source = f" (He et al. 2016, {title.partition(':')[0]}.)"
    return Drawing(name, title, caption + source, figure, frozenset(member.group.name for member in members))


# Figures 1, 4 and 6: errors over the iterations


def _figure_1(nets: Nets, data: Data, family: str) -> Drawing | NotDrawn:
    members = _members(nets, ("plain20", "plain56"))
    title = f"Figure 1: plain networks on {data.beside('cifar10')}{FAMILIES[family][1]}"
    if not members:
        return NotDrawn(title, "no run of plain-20 or plain-56")
    foot = _foot(members, "", "cifar10", "read off Figure 6")
    columns = ("training error", "test error")
    figure, (row,), keys = style.panels(title, columns, key_rows=len(members), foot=foot)
    sides = tuple(zip(row, keys, ("train", "eval"), columns, (1, 0)))
    curves = [_draw_errors(axes, members, {split: {"linewidth": 1.8}}) for axes, _, split, _, _ in sides]
    for axes, key, split, name, column in sides:
        _finish_errors(axes, data, sum(curves, []))
        papers = [_read_off(FIGURE_6_ENDS, member.net, column) for member in members]
        _draw_error_key(key, members, f"{name}, %", {"ours": (split, papers)})
    caption = (
        "Training error (left) and test error (right) of plain networks of 20 and 56 layers. The paper's finding: the "
        "deeper network has the higher error on both, so this is not overfitting."
    )
    name = f"figure1_{data.slug}{FAMILIES[family][0]}"
    return _drawing(name, title, caption + _averaging(members) + _notes(members, "cifar10"), figure, members)


def _figure_6(nets: Nets, data: Data, family: str) -> Drawing | NotDrawn:
    columns = {
        "plain networks": ("plain20", "plain32", "plain44", "plain56"),
        "ResNets": ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110"),
        "ResNet-110 and -1202": ("resnet110", "resnet1202") if "resnet1202" in nets else (),
    }
    chosen = {name: members for name, names in columns.items() if (members := _members(nets, names))}
    title = f"Figure 6: training on {data.beside('cifar10')}{FAMILIES[family][1]}"
    if not chosen:
        return NotDrawn(title, "no run of its networks (the paper omits plain-110, whose error exceeds 60 %)")
    everything = sum(chosen.values(), [])
    lines = "dashed: training error, bold: test error"
    foot = _foot(everything, lines, "cifar10", "Table 6 (≈: read off Figure 6)")
    figure, panels = _error_columns(title, chosen, data, {"train": THIN | {"linestyle": "--"}, "eval": BOLD}, foot)
    for name, (axes, key) in panels.items():
        if name.endswith("1202") and axes.get_xlim()[1] > LATE:
            axes.set_xlim(left=LATE)
            axes.yaxis.set_major_locator(FixedLocator((0, 1, 5, 10, 20)))
        test = ("eval", [paper_cifar(member.net) for member in chosen[name]])
        training = ("train", [_read_off(FIGURE_6_ENDS, member.net, 1) for member in chosen[name]])
        if len(chosen) < 3:
            _draw_error_key(key, chosen[name], "error, %", {"training": training, "test": test})
        else:  # too narrow for both
            _draw_error_key(key, chosen[name], "test error, %", {"ours": test})
    caption = (
        "Training error (dashed) and test error (bold). The paper's finding: deeper plain networks are worse, deeper "
        "ResNets are better; with 1202 layers training still works, but the test error is above that of 110 layers."
    )
    name = f"figure6_{data.slug}{FAMILIES[family][0]}"
    return _drawing(name, title, caption + _averaging(everything) + _notes(everything, "cifar10"), figure, everything)


def _figure_4(nets: Nets, data: Data) -> Drawing | NotDrawn:
    columns = {"plain networks": ("plain18", "plain34"), "ResNets (option A)": ("resnet18", "resnet34")}
    chosen = {name: members for name, names in columns.items() if (members := _members(nets, names))}
    title = f"Figure 4: training on {data.beside('imagenet2012')}"
    if not chosen:
        return NotDrawn(title, "no run of plain-18, plain-34, ResNet-18 or ResNet-34 (option A)")
    everything = sum(chosen.values(), [])
    lines = "thin: training error, bold: validation error of the centre crop"
    foot = _foot(everything, lines, "imagenet2012", "read off Figure 4")
    figure, panels = _error_columns(title, chosen, data, {"train": THIN, "eval": BOLD}, foot)
    for name, (_, key) in panels.items():
        printed = {
            "training": ("train", [_read_off(FIGURE_4_ENDS, member.net, 1) for member in chosen[name]]),
            "validation": ("eval", [_read_off(FIGURE_4_ENDS, member.net, 0) for member in chosen[name]]),
        }
        _draw_error_key(key, chosen[name], "error, %", printed)
    caption = (
        "Training error (thin) and validation error of the centre crop (bold). The paper's finding: the plain "
        "network of 34 layers has a higher training error than that of 18 throughout; the ResNet of 34 layers has a "
        "lower one, and generalises."
    )
    name = f"figure4_{data.slug}"
    return _drawing(
        name, title, caption + _averaging(everything) + _notes(everything, "imagenet2012"), figure, everything
    )


def _error_columns(
    title: str, chosen: Mapping[str, Sequence[Member]], data: Data, lines: Mapping[str, Mapping], foot: str
) -> tuple[Figure, dict[str, tuple[Axes, Axes]]]:
    """A panel, and the place of its key, for each group of networks; all on one scale, so that they compare."""
    figure, (row,), keys = style.panels(title, list(chosen), key_rows=max(map(len, chosen.values())), foot=foot)
    curves = [curve for axes, members in zip(row, chosen.values()) for curve in _draw_errors(axes, members, lines)]
    for axes in row:
        _finish_errors(axes, data, curves)
    return figure, {name: place for name, *place in zip(chosen, row, keys)}


def _draw_errors(axes: Axes, members: Sequence[Member], lines: Mapping[str, Mapping]) -> list[Curve]:
    """Draws every member's error in % on each split, and returns the curves."""
    curves = []
    for member in members:
        for split, line in lines.items():
            curve = member.group.curve(split, "top1", error_percent)
            style.draw_curve(axes, curve, **member.line, **line, label=f"{member.name}, {split}")
            curves.append(curve)
    return [curve for curve in curves if len(curve.steps)]


def _finish_errors(axes: Axes, data: Data, curves: Sequence[Curve]) -> None:
    """Scales and labels: as printed, if a curve of the paper's data ends there; else up to twice the worst end."""
    style.step_axis(axes, max((curve.steps[-1] for curve in curves), default=0), "iterations")
    axes.set_ylabel("error (%)")
    ends = [curve.mean[-1] for curve in curves] or [50.0]
    printed = PRINTED_SCALES.get(data)
    if printed and printed[0] <= min(ends) <= printed[-1]:
        axes.set_ylim(printed[0], printed[-1])
        axes.yaxis.set_major_locator(FixedLocator([tick for tick in printed if tick % 5 == 0]))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
        axes.set_ylim(0, axes.yaxis.get_major_locator().tick_values(0, min(100, max(1, 2 * max(ends))))[-1])


def _draw_error_key(
    axes: Axes, members: Sequence[Member], label: str, printed: Mapping[str, tuple[str, Sequence[str | None]]]
) -> None:
    """Names, seeds, and in a pair of columns for each split our error at the end and the paper's.

    Args:
        printed: by the title of our column: the split, and the paper's error for each member.
    """
    rows = []
    for number, member in enumerate(members):
        cells = [member.name, str(len(member.group.finished))]
        for split, papers in printed.values():
            last = member.group.last(split, "top1", error_percent)
            cells += ["unfinished" if last is None else str(last), papers[number] or "–"]
        rows.append(KeyRow(member.line | BOLD, tuple(cells)))
    header = (label, "seeds", *(text for ours in printed for text in (ours, "paper")))
    places = (0.43, 0.71, 1.0) if len(printed) == 1 else (0.32, 0.525, 0.635, 0.83, 1.0)
    style.draw_key(axes, header, rows, [axes.get_xlim()[1] * place for place in places])


# Figure 7: standard deviations of layer responses


def _shows_responses(record: Record) -> bool:
    return record.is_finished and record.experiment.name.rpartition("_cifar10")[0] in FIGURE_7_NETS


RESPONSES = Measurement(
    name="layer_responses",
    key="std",
    module="trainers.tasks.images.layer_responses",
    figure="Figure 7",
    is_shown=_shows_responses,
)


def _figure_7(nets: Nets, data: Data, family: str) -> Drawing | NotDrawn:
    members = [member for member in _members(nets, FIGURE_7_NETS) if _responses(member.group)]
    title = f"Figure 7: layer responses on {data.beside('cifar10')}{FAMILIES[family][1]}"
    if not members:
        return NotDrawn(title, "no finished run of plain-20, plain-56, ResNet-20, -56 or -110 with measured responses")
    lines = "dashed: plain networks, solid: ResNets"
    foot = _foot(members, lines, "cifar10", "read off Figure 7")
    figure, rows, (key,) = style.panels(title, [""], key_rows=len(members), foot=foot, heights=(2.0, 2.0))
    for (axes,), is_sorted, label in zip(rows, (False, True), ("layer index", "layer index, sorted by magnitude")):
        for member in members:
            dashes = "--" if member.net.startswith("plain") else "-"
            curve = _response_curve(member.group, is_sorted)
            style.draw_curve(axes, curve, **member.line, linestyle=dashes, linewidth=1.4, label=member.name)
        axes.set(xlabel=label, ylabel="std", xlim=(0, None))
        if data in PRINTED_SCALES:
            axes.set_ylim(bottom=min(0.5, axes.get_ylim()[0]))
        axes.xaxis.set_major_locator(MaxNLocator(steps=(1, 2, 5, 10), integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10)))
    _draw_response_key(key, members)
    caption = (
        "Standard deviation of the output of every convolution after its batch norm, before the nonlinearity and the "
        "addition, over all test images, positions and channels, in inference mode; top in the order of the layers, "
        "bottom sorted. The paper's finding: ResNets have weaker responses than plain networks, and the deeper they "
        "are the less each layer changes its input."
    )
    name = f"figure7_{data.slug}{FAMILIES[family][0]}"
    return _drawing(name, title, caption + _notes(members, "cifar10"), figure, members)


def _responses(group: Group) -> list[list[float]]:
    """A list of standard deviations per run, in the order of the layers."""
    runs = (record.measured.get(RESPONSES.name) for record in group.records)
    return [list(responses.values()) for responses in runs if responses]


def _response_curve(group: Group, is_sorted: bool) -> Curve:
    runs = np.array([sorted(run, reverse=True) if is_sorted else run for run in _responses(group)])
    return Curve(np.arange(1, runs.shape[1] + 1), runs.mean(axis=0), runs.min(axis=0), runs.max(axis=0))


def _draw_response_key(axes: Axes, members: Sequence[Member]) -> None:
    rows = []
    for member in members:
        dashes = "--" if member.net.startswith("plain") else "-"
        cells = [member.name, str(len(_responses(member.group)))]
        for column, pick in enumerate((np.max, np.min)):
            ours = pick(_response_curve(member.group, True).mean)
            cells += [f"{ours:.2f}", _read_off(FIGURE_7_ENDS, member.net, column) or "–"]
        rows.append(KeyRow(member.line | {"linestyle": dashes, "linewidth": 1.4}, tuple(cells)))
    header = ("std of layers", "seeds", "largest, ours", "paper", "smallest, ours", "paper")
    style.draw_key(axes, header, rows, [axes.get_xlim()[1] * place for place in (0.36, 0.57, 0.68, 0.89, 1.0)])

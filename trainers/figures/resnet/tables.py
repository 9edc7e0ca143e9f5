"""Tables 2, 3 and 6 of ResNet (He et al. 2016, arXiv 1512.03385): measured numbers next to the paper's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flags import catalog
from flags.papers.resnet import CIFAR
from trainers.figures.records import Data, Group, error_percent
from trainers.figures.resnet.figures import (
    FAMILIES,
    FIGURE_6_ENDS,
    TABLE_6_MEANS,
    Nets,
    cifar_nets,
    imagenet_nets,
    layers_of,
    paper_cifar,
    printed_error,
    title_of,
)
from trainers.figures.tables import MOVING, Cell, Table

TABLE_3 = ("plain34", "resnet34", "resnet34_b", "resnet34_c", "resnet50", "resnet101", "resnet152")
COUNTS = ("parameters: counted", "multiply-adds: paper", "multiply-adds: counted")
BEST = "Measured: of several seeds the best and, in brackets, mean ± standard deviation (n - 1)."


def tabulate(groups: Sequence[Group]) -> Iterator[Table]:
    """The tables that have a run of at least one of their networks, data set by data set."""
    for data, nets in imagenet_nets(groups):
        if any(net in nets for net in ("plain18", "plain34", "resnet18", "resnet34")):
            yield _table_2(nets, data)
        if any(net in nets for net in TABLE_3):
            yield _table_3(nets, data)
    for data, family, nets in cifar_nets(groups):
        yield _table_6(nets, data, family)


def _table_2(nets: Nets, data: Data) -> Table:
    rows = []
    for layers in (18, 34):
        twins = (f"plain{layers}", f"resnet{layers}")  # of as many parameters and multiply-adds
        row: list[Cell] = [f"{layers} layers", *_counts(nets, *twins)]
        for net in twins:
            row += [printed_error(net, "top1"), _error(nets, net, "top1")]
        rows.append(tuple(row))
    ours = _ours(data)
    return Table(
        name=f"table2_{data.slug}",
        title=f"Table 2: top-1 error in % on {data.beside('imagenet2012')}",
        caption=_caption(nets, data, "imagenet2012"),
        columns=(
            "layers",
            *COUNTS,
            *(f"{kind}, top-1 error (%): {who}" for kind in ("plain", "ResNet") for who in ("paper", ours)),
        ),
        rows=tuple(rows),
    )


def _table_3(nets: Nets, data: Data) -> Table:
    rows = [
        (
            title_of(net) + (" A" if net == "resnet34" else ""),
            *_counts(nets, net),
            printed_error(net, "top1"),
            _error(nets, net, "top1"),
            printed_error(net, "top5"),
            _error(nets, net, "top5"),
        )
        for net in TABLE_3
    ]
    ours = _ours(data)
    return Table(
        name=f"table3_{data.slug}",
        title=f"Table 3: errors in % on {data.beside('imagenet2012')}",
        caption=_caption(nets, data, "imagenet2012"),
        columns=(
            "network",
            *COUNTS,
            *(f"{top} error (%): {who}" for top in ("top-1", "top-5") for who in ("paper", ours)),
        ),
        rows=tuple(rows),
    )


def _table_6(nets: Nets, data: Data, family: str) -> Table:
    moving = any(_error(nets, net, "top1", "metrics_with_moving_statistics") is not None for net in nets)
    rows = []
    for net in CIFAR:
        groups = nets.get(net, ())
        row: list[Cell] = [
            title_of(net),
            layers_of(net),
            f"{catalog.get(f'{net}_cifar10').paper.numbers['parameters'] / 1e6:g} M",
            _count(nets, "parameters", net),
            _count(nets, "multiply_adds", net),
            _paper_cifar(net),
            _error(nets, net, "top1"),
            *([_error(nets, net, "top1", "metrics_with_moving_statistics")] if moving else []),
            ", ".join(group.seeds for group in groups) or None,
            f"≈ {FIGURE_6_ENDS[net][1]}" if net in FIGURE_6_ENDS else None,
            groups[0].last("train", "top1", error_percent) if len(groups) == 1 else None,
        ]
        rows.append(tuple(row))
    ours = _ours(data)
    ending, held_out = FAMILIES[family]
    return Table(
        name=f"table6_{data.slug}{ending}",
        title=f"Table 6: test error in % on {data.beside('cifar10')}{held_out}",
        caption=_caption(nets, data, "cifar10") + " Plain networks are not in the paper's table: ≈ was read off the "
        "right end of Figure 6." + MOVING * moving,
        columns=(
            "network", "layers", "parameters: paper", "parameters: counted", "multiply-adds: counted",
            "error (%): paper (CIFAR-10)", f"error (%): {ours}",
            *([f"error (%): {ours}, moving statistics"] if moving else []),
            "seeds", "training error at the end (%): paper", f"training error at the end (%): {ours}",
        ),
        rows=tuple(rows),
    )  # fmt: skip


def _counts(nets: Nets, *names: str) -> tuple[Cell, ...]:
    """The cells of `COUNTS` for networks that are equal in them."""
    printed = catalog.get(names[0]).paper.numbers.get("multiply_adds")
    return (
        _count(nets, "parameters", *names),
        printed and f"{printed / 1e9:g} G",
        _count(nets, "multiply_adds", *names),
    )


def _paper_cifar(net: str) -> str | None:
    """The paper's best run, and the mean of its runs where it has several."""
    if net not in TABLE_6_MEANS:
        return paper_cifar(net)
    return f"{printed_error(f'{net}_cifar10', 'top1'):.2f} ({TABLE_6_MEANS[net]})"


def _count(nets: Nets, name: str, *names: str) -> int | None:
    """What the results of a finished run of one of these networks count."""
    groups = (group for net in names for group in nets.get(net, ()))
    return next((count for group in groups if (count := group.fact(name))), None)


def _error(nets: Nets, net: str, metric: str, of: str = "metrics") -> Cell:
    """Our error in %: an estimate; of a network with several recipes a text with one for each."""
    groups = nets.get(net, ())
    found = [(group, group.measured(metric, error_percent, of=of)) for group in groups]
    if len(groups) > 1:
        return "; ".join(f"{estimate} with {group.note}" for group, estimate in found if estimate is not None) or None
    return found[0][1] if found else None


def _ours(data: Data) -> str:
    return f"measured on {data.name}"


def _caption(nets: Nets, data: Data, papers: str) -> str:
    runs = [record for groups in nets.values() for group in groups for record in group.records]
    protocols = sorted({str(run.settings.get("data.test_protocol", "")).replace("_", " ") for run in runs})
    own = (
        ""
        if data == Data(papers, "paper")
        else f"Measured on {data.beside(papers)}: not comparable with the paper's numbers, which are given for "
        "reference. "
    )
    tested = f" Tested by: {', '.join(protocols)}; the paper: ten crop." if papers == "imagenet2012" else ""
    changed = ", ".join(title_of(net) for net, groups in nets.items() if any(group.is_changed for group in groups))
    return own + BEST + tested + (f" Recipes changed by --set (see the last table): {changed}." if changed else "")

"""Tables of a report: what a cell holds, how it is written, and the one table that every report has."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from trainers.figures.records import Estimate, Group, error_percent

Cell = str | int | float | Estimate | None


class Metric(NamedTuple):
    """How figures and tables show a metric."""

    label: str
    change: Callable[[float], float] = float
    digits: int = 2


METRICS = {  # of results
    "top1": Metric("top-1 error, %", error_percent),
    "top5": Metric("top-5 error, %", error_percent),
    "bpc": Metric("bits per character", digits=3),
    "nll": Metric("loss a token, nats", digits=3),
    "perplexity": Metric("perplexity"),
    "bleu": Metric("BLEU", digits=1),
}


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows have a cell for each column."""

    name: str
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    digits: Mapping[str, int] = dataclasses.field(default_factory=dict)  # by column: of numbers, if not 2

    @property
    def texts(self) -> list[list[str]]:
        """The cells as they are written, row by row."""
        return [[written(cell, self.digits.get(name, 2)) for name, cell in zip(self.columns, row)] for row in self.rows]


def written(cell: Cell, digits: int = 2) -> str:
    """A cell as text; of several runs the best and, in brackets, mean ± standard deviation."""
    if cell is None:
        return "–"
    if isinstance(cell, Estimate):
        mean = f"{cell:.{digits}f}"
        return mean if cell.std is None else f"{min(cell.values):.{digits}f} ({mean})"
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:.{digits}f}" if isinstance(cell, float) else cell


def as_markdown(table: Table) -> str:
    lines = [table.columns, ["---"] * len(table.columns), *table.texts]
    body = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"## {table.title}\n\n{table.caption}\n\n{body}\n"


def as_html(table: Table) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    rows = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in table.texts]
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def as_json(table: Table) -> dict:
    """Numbers as numbers; an estimate with every run's value."""
    rows = [dict(zip(table.columns, map(_plain, row), strict=True)) for row in table.rows]
    return {"name": table.name, "title": table.title, "caption": table.caption, "rows": rows}


def _plain(cell: Cell):
    if isinstance(cell, Estimate):
        return {"mean": cell.mean, "std": cell.std, "n": len(cell.values), "values": list(cell.values)}
    return cell


def tabulate(groups: Sequence[Group]) -> Iterator[Table]:
    """Every experiment of the report: the paper's numbers and ours."""
    names = [name for name in METRICS if any(name in _known(group) for group in groups)]
    columns = ["experiment", "in the paper", "data", "seeds"]
    columns += [f"{METRICS[name].label}: {who}" for name in names for who in ("paper", "ours")]
    moving = any(group.measured("loss", of="metrics_with_moving_statistics") for group in groups)
    columns += [f"{METRICS[name].label}: ours, moving statistics" for name in names] * moving
    images = "top1" in names
    columns += [*["training error at the end, %"] * images, "parameters", "hours a run", "changed"]
    yield Table(
        name="experiments",
        title="All experiments",
        caption="Ours: the metrics of the final evaluation; of several seeds the best and, in brackets, mean ± "
        "standard deviation (n - 1). The paper's numbers are on the paper's data set: a row that is marked * ran on "
        "other data and cannot be compared with them. Changed: by --set." + TRAINING_ERROR * images + MOVING * moving,
        columns=tuple(columns),
        rows=tuple(_row(group, names, moving) for group in groups),
        digits={f"{METRICS[name].label}: {who}": METRICS[name].digits for name in names for who in ("paper", "ours")},
    )


TRAINING_ERROR = " Training error: of the last steps that were logged, on augmented images."
MOVING = (
    " Batch norm's statistics were averaged anew after training; moving statistics: the same weights with the "
    "averages that training left behind."
)


def _known(group: Group) -> set[str]:
    """Metrics that the paper or a finished run has."""
    return {*group.experiment.paper.numbers, *(name for record in group.finished for name in record.results["metrics"])}


def _row(group: Group, names: Sequence[str], moving: bool) -> tuple[Cell, ...]:
    paper = group.experiment.paper
    cells: list[Cell] = [
        group.name,
        paper.row,
        data_cell(group),
        group.seeds,
    ]
    for name in names:
        change = METRICS[name].change
        cells += [change(paper.numbers[name]) if name in paper.numbers else None, group.measured(name, change)]
    if moving:
        cells += [group.measured(name, METRICS[name].change, of="metrics_with_moving_statistics") for name in names]
    seconds = group.fact("seconds")
    if "top1" in names:
        cells.append(group.last("train", "top1", error_percent))
    cells += [
        group.fact("parameters"),
        None if seconds is None else round(seconds / 3600, 2),
        ", ".join(group.records[0].overrides) or group.note or None,
    ]
    return tuple(cells)


def data_cell(group: Group) -> str:
    """The data set, marked where it is not the paper's."""
    return group.data.title + ("" if group.is_on_papers_data else " *")

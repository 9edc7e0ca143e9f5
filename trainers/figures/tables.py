"""Tables of a report: cells, how they are written (Markdown, HTML, JSON, CSV), and the table of all experiments."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

from flags import metrics, tasks
from trainers.figures.records import Estimate, Group
from trainers.figures.shown import shown

Cell = str | int | float | Estimate | None
STD, VALUES = ": std", ": values"  # endings of the columns of a CSV file that belong to the one before


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
    return f"## {table.title}\n\n{table.caption}\n\n{markdown(table.columns, table.texts)}\n"


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Only the table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def header_line(groups: Sequence[Group]) -> str:
    """Says which runs the tables of a report are from, the same whatever order they were read in."""
    seeds: dict[tuple[str, str], set[int]] = {}
    for group in groups:
        found = seeds.setdefault((group.name, f"{group.data.title}, variant {group.data.variant}"), set())
        found.update(record.seed for record in group.records)
    runs = (
        f"{name} ({data}, {'seeds' if len(found) > 1 else 'seed'} {', '.join(map(str, sorted(found)))})"
        for (name, data), found in seeds.items()
    )
    return f"Runs: {'; '.join(runs)}."


def as_csv(table: Table) -> str:
    """The table for machines: one header row, full precision, an empty cell for none.

    A column of estimates has the mean, and is followed by the standard deviation (": std") and every run's value
    (": values", in the order of the seeds).
    """
    columns: list[tuple[str, list]] = []
    for number, name in enumerate(table.columns):
        cells = [row[number] for row in table.rows]
        estimates = [cell if isinstance(cell, Estimate) else None for cell in cells]
        columns.append((name, [cell.mean if isinstance(cell, Estimate) else cell for cell in cells]))
        if any(estimates):
            columns.append((f"{name}{STD}", [cell and cell.std for cell in estimates]))
            columns.append((f"{name}{VALUES}", [cell and " ".join(map(repr, cell.values)) for cell in estimates]))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([name for name, _ in columns])
    writer.writerows(zip(*(cells for _, cells in columns)))
    return file.getvalue()


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
    names = _names(groups)
    fitted = [name for name in names if metrics.get(name).percent and name in _headlines(groups)]
    moving = any(group.measured("loss", of="metrics_with_moving_statistics") for group in groups)
    columns = {
        **{f"{shown(name).label}: {who}": name for name in names for who in ("paper", "ours")},
        **({f"{shown(name).label}: ours, moving statistics": name for name in names} if moving else {}),
        **{f"{shown(name).label}: training, at the end": name for name in fitted},
    }
    yield Table(
        name="experiments",
        title="All experiments",
        caption="Ours: metrics of the final evaluation; of several seeds the best and, in brackets, mean ± standard "
        "deviation (n - 1). Paper: the paper's own numbers, on its own data set. A row marked * ran on other data and "
        "cannot be compared with them. Changed: by --set." + TRAINING_ERROR * bool(fitted) + MOVING * moving,
        columns=("experiment", "in the paper", "data", "seeds", *columns, "parameters", "hours per run", "changed"),
        rows=tuple(_row(group, names, fitted, moving) for group in groups),
        digits={column: shown(name).digits for column, name in columns.items()},
    )


TRAINING_ERROR = " Training: the last logged steps, on augmented images."
MOVING = (
    " Batch norm statistics were averaged anew after training; moving statistics: the same weights with the moving "
    "averages of training."
)


def _headlines(groups: Sequence[Group]) -> set[str]:
    return {tasks.get(group.experiment.task).headline for group in groups}


def _names(groups: Sequence[Group]) -> list[str]:
    """The metrics of the table: the headlines of its tasks, and whatever a finished run measured besides the loss."""
    measured = {name for group in groups for record in group.finished for name in record.results["metrics"]}
    known = measured | {name for group in groups for name in group.experiment.paper.numbers} & _headlines(groups)
    return [name for name in metrics.METRICS if name in known and name != "loss"]


def _row(group: Group, names: Sequence[str], fitted: Sequence[str], moving: bool) -> tuple[Cell, ...]:
    paper = group.experiment.paper
    cells: list[Cell] = [group.name, paper.row, data_cell(group), group.seeds]
    for name in names:
        change = shown(name).change
        cells += [change(paper.numbers[name]) if name in paper.numbers else None, group.measured(name, change)]
    if moving:
        cells += [group.measured(name, shown(name).change, of="metrics_with_moving_statistics") for name in names]
    cells += [group.last("train", name, shown(name).change) for name in fitted]
    seconds = group.fact("seconds")
    cells += [
        group.fact("parameters"),
        None if seconds is None else seconds / 3600,
        ", ".join(group.records[0].overrides) or group.note or None,
    ]
    return tuple(cells)


def data_cell(group: Group) -> str:
    """The data set, marked where it is not the paper's."""
    return group.data.title + ("" if group.is_on_papers_data else " *")

"""Fills the tables of documentation pages: `python -m trainers.figures.docs docs/`.

A page names a CSV file of a report, relative to the page, between two comments; the command writes its table there:

    <!-- table: results/degradation/csv/table6_cifar10.csv -->
    <!-- end -->

Titles of columns after the file's name, each behind a bar, choose columns and their order:

    <!-- table: results/degradation/csv/table6_cifar10.csv | network | error (%): paper (CIFAR-10) -->

Numbers are rounded to the decimals of the metric that a column's title names (`flags.metrics`), to two in percent and
points, else to four significant digits. Means are followed by ± standard deviation.
"""

from __future__ import annotations

import csv
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence

from flags import metrics
from flags.errors import UserError
from trainers.figures.tables import STD, VALUES, markdown
from trainers.run.files import write_text

BEGIN, END = re.compile(r"^<!-- table: (.+) -->$", re.M), "<!-- end -->"
INTEGER = re.compile(r"-?\d+")


def fill(page: pathlib.Path) -> str:
    """The text of a page, with its tables as the CSV files have them.

    Raises:
        UserError: a table has no end, or its file or one of its columns is not there.
    """
    text, filled, at = page.read_text(encoding="utf-8"), [], 0
    for begin in BEGIN.finditer(text):
        if begin.start() < at:
            raise UserError(f"{page}: {begin[0]} stands before the {END} of the table above it.")
        end = text.find(END, begin.end())
        if end < 0:
            raise UserError(f"{page}: {begin[0]} has no {END}.")
        name, *columns = (part.strip() for part in begin[1].split("|"))
        filled += [text[at : begin.end()], "\n\n", as_markdown(page.parent / name, columns), "\n\n"]
        at = end
    return "".join([*filled, text[at:]])


def as_markdown(path: pathlib.Path, columns: Sequence[str] = ()) -> str:
    """The table of a CSV file, with these columns, or all but single runs' values.

    Raises:
        UserError: the file or a column is not there.
    """
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except OSError as error:
        raise UserError(f"{path}: the table cannot be read ({error.strerror}). Draw the report again.") from error
    known = [name for name in reader.fieldnames or () if not name.endswith((STD, VALUES))]
    for name in columns:
        if name not in known:
            raise UserError(f"{path}: no column {name!r}. Columns: {', '.join(known)}.")
    chosen = columns or known
    return markdown(chosen, [[_cell(row, name) for name in chosen] for row in rows])


def _cell(row: Mapping[str, str], column: str) -> str:
    """A cell as text: empty as a dash, numbers rounded, a mean with its deviation."""
    values = [_written(row.get(name) or "", column) for name in (column, f"{column}{STD}")]
    return " ± ".join(filter(None, values)) or "–"


def _written(cell: str, column: str) -> str:
    if INTEGER.fullmatch(cell):
        return f"{int(cell):,}"
    try:
        value = float(cell)
    except ValueError:
        return cell
    digits = _digits(column)
    return f"{value:.4g}" if digits is None else f"{value:.{digits}f}"


def _digits(column: str) -> int | None:
    """The decimals of a column: those of the metric with the longest label in its title, or of percent and points."""
    named = [metric for metric in metrics.METRICS.values() if metric.label.lower() in column.lower()]
    if named:
        return max(named, key=lambda metric: len(metric.label)).digits
    return 2 if any(unit in column for unit in ("(%)", "(points)")) else None


def main(arguments: Sequence[str]) -> int:
    """Fills the pages that are given, and those of given folders; prints which changed."""
    if not arguments:
        print("usage: python -m trainers.figures.docs PAGE_OR_FOLDER ...", file=sys.stderr)
        return 2
    paths = [pathlib.Path(argument) for argument in arguments]
    try:
        for page in (page for path in paths for page in (sorted(path.glob("*.md")) if path.is_dir() else [path])):
            text = fill(page)
            if text != page.read_text(encoding="utf-8"):
                write_text(page, text)
                print(page)
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

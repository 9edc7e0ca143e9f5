"""The answer to `--list_experiments`: every experiment with the row of the paper that it reproduces."""

from __future__ import annotations

import json

from flags import catalog
from flags.recipe import Experiment


def as_text() -> str:
    """Returns a table a paper: name, row, the paper's top-1, summary."""
    return "\n\n".join(f"{citation}\n{_table(group)}" for citation, group in catalog.by_paper().items())


def as_json() -> str:
    """Returns one JSON object, {"experiments": [{"name", "paper", "row", "numbers", "summary"}, ...]}."""
    rows = [
        {
            "name": experiment.name,
            "paper": experiment.paper.citation,
            "row": experiment.paper.row,
            "numbers": dict(experiment.paper.numbers),
            "summary": experiment.summary,
        }
        for group in catalog.by_paper().values()
        for experiment in group
    ]
    return json.dumps({"experiments": rows}, indent=2)


def _table(group: list[Experiment]) -> str:
    header = ("name", "row", "paper's top-1", "summary")
    rows = [header, *((e.name, e.paper.row, _top1(e), e.summary) for e in group)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    return "\n".join("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _top1(experiment: Experiment) -> str:
    top1 = experiment.paper.numbers.get("top1")
    return "-" if top1 is None else f"{top1:.1%}".replace("%", " %")

"""Output of `--list_experiments`: every experiment with the row of the paper that it reproduces."""

from __future__ import annotations

import json

from flags import catalog, metrics, tasks
from flags.recipe import Experiment


def as_text() -> str:
    """Returns one table per paper: name, row, the paper's headline metric, summary."""
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
    header = ("name", "row", f"paper's {_headline_metric(group[0]).label}", "summary")
    rows = [header, *((e.name, e.paper.row, _headline(e), e.summary) for e in group)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    return "\n".join("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _headline_metric(experiment: Experiment) -> metrics.Metric:
    return metrics.get(tasks.get(experiment.task).headline)


def _headline(experiment: Experiment) -> str:
    metric = _headline_metric(experiment)
    numbers = experiment.paper.numbers
    return metric.format(numbers[metric.name]) if metric.name in numbers else "-"

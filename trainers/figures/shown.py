"""How figures and tables show a metric: as `flags.metrics` has it, but an accuracy as an error in percent."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from flags import metrics, tasks
from trainers.figures.records import Group, error_percent


class Shown(NamedTuple):
    """A metric as it is shown."""

    label: str  # with the unit
    change: Callable[[float], float]  # from the stored value
    digits: int

    def written(self, value: float) -> str:
        """A value that is changed already; of a large one a single decimal."""
        return f"{value:.{self.digits if value < 100 else 1}f}"


def shown(name: str) -> Shown:
    """How a metric is shown.

    Raises:
        UserError: it is not registered.
    """
    metric = metrics.get(name)
    if metric.percent and metric.larger_is_better:
        return Shown(f"{metric.label} error (%)", error_percent, metric.digits)
    return Shown(metric.heading, float, metric.digits)


def main_metric(group: Group, names: Collection[str]) -> str | None:
    """Of these metrics the one that stands for a run: its task's headline, else the first besides the loss."""
    headline = tasks.get(group.experiment.task).headline
    others = [name for name in metrics.METRICS if name in names and name != "loss"]
    return headline if headline in others else next(iter(others), None)

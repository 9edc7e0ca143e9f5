"""The registry of metrics: one record each with name, label, format, and direction."""

from __future__ import annotations

import dataclasses

from flags.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: key in metrics.jsonl, results.json and `Paper.numbers`.
        label: name in tables and figures.
        unit: printed after the label, such as "nats"; empty: none.
        digits: decimal places, of the percentage if `percent`.
        percent: whether the value is stored as a fraction in 0..1 and printed in percent.
        larger_is_better: whether a larger value is better.
    """

    name: str
    label: str
    unit: str = ""
    digits: int
    percent: bool = False
    larger_is_better: bool = False

    def format(self, value: float) -> str:
        return f"{value:.{self.digits}%}" if self.percent else f"{value:.{self.digits}f}"

    @property
    def heading(self) -> str:
        """Label and unit."""
        unit = "%" if self.percent else self.unit
        return f"{self.label} ({unit})" if unit else self.label


METRICS: dict[str, Metric] = {}  # in the order in which they are printed


def register(metric: Metric) -> None:
    """Registers a metric."""
    if metric.name in METRICS:
        raise ValueError(f"metric: {metric.name!r} is registered already")
    METRICS[metric.name] = metric


def get(name: str) -> Metric:
    """Returns the record of a metric.

    Raises:
        UserError: the metric is not registered.
    """
    if name not in METRICS:
        raise UserError(f"metric {name!r} is not registered. Metrics: {', '.join(METRICS)}.")
    return METRICS[name]


for _metric in (
    Metric(name="loss", label="loss", unit="nats", digits=4),
    Metric(name="squared_error", label="squared error", digits=4),
    Metric(name="absolute_error", label="absolute error", digits=4),
    Metric(name="top1", label="top-1", digits=2, percent=True, larger_is_better=True),
    Metric(name="top5", label="top-5", digits=2, percent=True, larger_is_better=True),
    Metric(name="top1_clean", label="top-1, true labels", digits=2, percent=True, larger_is_better=True),
    Metric(name="top1_multi_scale", label="top-1, multi-scale", digits=2, percent=True, larger_is_better=True),
    Metric(name="top5_multi_scale", label="top-5, multi-scale", digits=2, percent=True, larger_is_better=True),
    Metric(name="bpc", label="bits per character", digits=3),
    Metric(name="bpc_author", label="bits per character, author's count", digits=3),
    Metric(name="nll", label="loss per token", unit="nats", digits=4),
    Metric(name="perplexity", label="perplexity", digits=2),
    Metric(name="perplexity_author", label="perplexity, author's count", digits=2),
    Metric(name="bleu", label="BLEU", digits=1, larger_is_better=True),
    Metric(name="test_loss", label="test loss per token, unit not stated", digits=2),
):
    register(_metric)

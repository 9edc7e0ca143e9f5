"""What a task is to the rest of the house where it does not say otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Task:
    """Loss, metrics and data of one kind of problem.

    Attributes:
        metric_names: what `losses` and the means over batches of the loop have.
        carries_state: whether a state of the model goes on from step to step (`trainers.loop.stateful`).
        is_solved: whether its weights are solved for in one step, without a gradient.
        no_xla: what speaks against compiling its steps with XLA, after "the experiment's"; None: nothing.
    """

    metric_names: tuple[str, ...]
    carries_state = False
    is_solved = False
    no_xla: str | None = None

    @property
    def result_names(self) -> tuple[str, ...]:
        """The metrics that are shown when a run ends."""
        return self.metric_names

    @property
    def facts(self) -> dict[str, Any]:
        """What results say of the training examples besides how they are fitted."""
        return {}

    def completed(self, means: Mapping[str, float]) -> dict[str, float]:
        """Means of metrics with what follows from means alone."""
        return dict(means)

    def passages(self, count: int = 4) -> list[str]:
        """The first texts of training as a person reads them; of data that are no texts, none."""
        return []

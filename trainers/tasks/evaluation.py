"""What an evaluation is to the rest of the house, whatever the task."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Mapping
from typing import Any

from trainers.session import Session


class Evaluation(abc.ABC):
    """Tests a model as often as asked, in inference mode; what was compiled for a split is used again.

    Every example counts exactly once, whatever the batch and the number of replicas.

    Args:
        session: gives data set, devices, batch and loss.
    """

    def __init__(self, session: Session):
        self._session = session

    @abc.abstractmethod
    def run(self, split: str, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        """Mean metrics over a split, and of how many examples.

        Args:
            weights: a context that swaps the averaged weights in.
        """

    def protocol(self, split: str) -> str:
        """How a split is tested: "ten_crop", "8 lanes"."""
        return self._session.task.test_protocol

    def at_the_end(self, split: str) -> tuple[dict[str, float], dict[str, Any]]:
        """What of a split is found out once, when a model is finished: further metrics, and what is told besides."""
        return {}, {}

    @staticmethod
    def shown(told: Mapping[str, Any]) -> str:
        """What `at_the_end` told besides, as a person reads it; empty of what tells nothing."""
        return ""

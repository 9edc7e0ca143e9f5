"""The papers that a report knows. A paper is a package here that exports `measurements`, `draw` and `tabulate`."""

from __future__ import annotations

from collections.abc import Sequence

from trainers.figures import double_descent, resnet, sha_rnn, style, tables, training
from trainers.figures.measurements import Measurement
from trainers.figures.records import Group
from trainers.figures.style import Drawing, NotDrawn
from trainers.figures.tables import Table

PAPERS = (resnet, sha_rnn, double_descent)


def measurements() -> list[Measurement]:
    """Everything that the papers' figures measure with a run's model."""
    return [measurement for paper in PAPERS for measurement in paper.measurements]


def draw(groups: Sequence[Group]) -> list[Drawing | NotDrawn]:
    """The papers' figures; then the training curves of every experiment that is in none, or of the only one."""
    with style.look():
        drawn = [drawing for paper in PAPERS for drawing in paper.draw(groups)]
        shown = set().union(*(drawing.shown for drawing in drawn if isinstance(drawing, Drawing)))
        rest = [group for group in groups if group.name not in shown or len(groups) == 1]
        return [*drawn, *training.draw(rest)]


def tabulate(groups: Sequence[Group]) -> list[Table]:
    return [table for source in (*PAPERS, tables) for table in source.tabulate(groups)]

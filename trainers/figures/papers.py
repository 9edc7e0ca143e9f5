"""What a report holds. A paper adds its own figures and tables by a line in each list."""

from __future__ import annotations

from collections.abc import Sequence

from trainers.figures import (
    double_descent,
    double_descent_tables,
    resnet,
    resnet_tables,
    sha_rnn,
    sha_rnn_tables,
    style,
    tables,
    training,
)
from trainers.figures.records import Group
from trainers.figures.style import Drawing, NotDrawn
from trainers.figures.tables import Table

FIGURES = (resnet.draw, sha_rnn.draw, double_descent.draw)  # functions from groups of runs to drawings
TABLES = (resnet_tables.tables, sha_rnn_tables.tables, double_descent_tables.tables, tables.tables)  # and to tables


def draw(groups: Sequence[Group]) -> list[Drawing | NotDrawn]:
    """The papers' figures; then the course of every experiment that is in none, or of the only one that there is."""
    with style.look():
        drawn = [drawing for figures in FIGURES for drawing in figures(groups)]
        shown = set().union(*(drawing.shown for drawing in drawn if isinstance(drawing, Drawing)))
        rest = [group for group in groups if group.name not in shown or len(groups) == 1]
        return [*drawn, *training.draw(rest)]


def tabulate(groups: Sequence[Group]) -> list[Table]:
    return [table for some in TABLES for table in some(groups)]

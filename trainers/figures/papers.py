"""What a report holds. A paper is a package here, with a `draw` and a `tabulate` from groups of runs."""

from __future__ import annotations

from collections.abc import Sequence

from trainers.figures import double_descent, resnet, sha_rnn, style, tables, training
from trainers.figures.records import Group
from trainers.figures.style import Drawing, NotDrawn
from trainers.figures.tables import Table

PAPERS = (resnet, sha_rnn, double_descent)


def draw(groups: Sequence[Group]) -> list[Drawing | NotDrawn]:
    """The papers' figures; then the course of every experiment that is in none, or of the only one that there is."""
    with style.look():
        drawn = [drawing for paper in PAPERS for drawing in paper.draw(groups)]
        shown = set().union(*(drawing.shown for drawing in drawn if isinstance(drawing, Drawing)))
        rest = [group for group in groups if group.name not in shown or len(groups) == 1]
        return [*drawn, *training.draw(rest)]


def tabulate(groups: Sequence[Group]) -> list[Table]:
    return [table for some in (*PAPERS, tables) for table in some.tabulate(groups)]

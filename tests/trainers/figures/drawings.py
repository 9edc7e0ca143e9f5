"""How tests look at what a report draws and tabulates."""

import pytest

from trainers.figures import double_descent, papers, reading, records, style
from trainers.figures.style import Drawing, NotDrawn


def groups_of(*folders):
    return records.group([reading.read(folder) for folder in folders])


def drawn(*folders):
    """Every figure of these runs by the name of its files."""
    return {d.name: d for d in papers.draw(groups_of(*folders)) if isinstance(d, Drawing)}


def not_drawn(*folders):
    """Titles and reasons of the figures that were left out."""
    return [(d.title, d.reason) for d in papers.draw(groups_of(*folders)) if isinstance(d, NotDrawn)]


def tabulated(*folders):
    """Every table of these runs by its name."""
    return {table.name: table for table in papers.tabulate(groups_of(*folders))}


def cells_of(table, first):
    """A row by its first cell, as text by column."""
    row = next(row for row in table.texts if row[0] == first)
    return dict(zip(table.columns, row))


def lines(axes):
    """Lines of axes by their label."""
    return {line.get_label(): line for line in axes.get_lines()}


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts] + [t.get_text() for t in figure.texts]


def key_row(axes, name):
    """The cells of a key's row: the texts at the height of a name."""
    y = next(text.get_position()[1] for text in axes.texts if text.get_text() == name)
    return [text.get_text() for text in axes.texts if text.get_position()[1] == y][1:]


def points_of(axes, label):
    """x and y of the curves with this label, without the marks of thresholds."""
    return [
        (line.get_xdata().tolist(), pytest.approx(line.get_ydata().tolist()))
        for line in axes.get_lines()
        if line.get_label() == label and line.get_transform() == axes.transData
    ]


def marks_of(axes, label="10 %"):
    """Where vertical marks with this label stand."""
    return [line.get_xdata()[0] for line in axes.get_lines() if line.get_label() == label]


def bands_of(axes):
    """Lowest and highest of each band, by x."""
    vertices = [band.get_paths()[0].vertices for band in axes.collections]
    return [{float(x): (v[v[:, 0] == x][:, 1].min(), v[v[:, 0] == x][:, 1].max()) for x in v[:, 0]} for v in vertices]


def assert_no_overlap(drawing):
    """No text of a figure overlaps another or leaves the figure."""
    drawing.figure.draw_without_rendering()
    shown = [text for axes in drawing.figure.axes for text in axes.texts] + drawing.figure.texts
    shown += [
        text for axes in drawing.figure.axes if axes.axison and axes.get_images() for text in axes.get_xticklabels()
    ]
    boxes = [text.get_window_extent() for text in shown if text.get_text()]
    for number, box in enumerate(boxes):
        assert box.x0 >= 0 and box.x1 <= drawing.figure.bbox.x1, shown[number].get_text()
        overlapped = [shown[n].get_text() for n, other in enumerate(boxes[:number]) if box.overlaps(other)]
        assert not overlapped, f"{drawing.name}: {shown[number].get_text()} on {overlapped}"


def descents(groups):
    """The figures of double descent alone, by the name of their files."""
    with style.look():
        return {d.name: d for d in double_descent.draw(groups) if isinstance(d, Drawing)}


def missing_descents(groups):
    """The figures of double descent that were left out: reason by kind."""
    with style.look():
        found = [d for d in double_descent.draw(groups) if isinstance(d, NotDrawn)]
    return {d.title.partition(":")[0]: d.reason for d in found}

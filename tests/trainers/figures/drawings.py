"""How tests look at what a report draws."""

from trainers.figures import papers, reading, records
from trainers.figures.style import Drawing


def groups_of(*folders):
    return records.group([reading.read(folder) for folder in folders])


def drawn(*folders):
    """Every figure of these runs by the name of its files."""
    return {d.name: d for d in papers.draw(groups_of(*folders)) if isinstance(d, Drawing)}


def lines(axes):
    """Lines of axes by their label."""
    return {line.get_label(): line for line in axes.get_lines()}


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts] + [t.get_text() for t in figure.texts]

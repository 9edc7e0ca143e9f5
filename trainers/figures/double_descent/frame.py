"""Titles, small print and captions shared by the figures of Deep Double Descent."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from matplotlib.figure import Figure

from flags.data import SmallImages
from trainers.figures.double_descent.lines import SIDES, Axis, Line, figure_of
from trainers.figures.double_descent.trials import (
    AXES,
    DECAY,
    EXAMPLES,
    LOSSES,
    Slice,
    Trials,
    at_the_end,
    course,
    distinct,
    is_number,
    settings_of,
    value_of,
)
from trainers.figures.members import has_bands
from trainers.figures.records import Curve, Group, Record
from trainers.figures.style import Drawing

FEWEST = 3  # values of what a figure is drawn over
SPLITS = {"test": ("eval", "metrics"), "fit": ("fit", "fit")}  # side -> split of metrics.jsonl, part of results.json
FITTED = (
    " Training error: from a separate pass over the training examples, in inference mode and not augmented; not the "
    "running average over training batches."
)
LABELLED = " It is against the labels trained on, including the corrupted ones. Test labels are clean."
EXACT = (
    " Dash-dotted: as many features as training examples, D = n, from where least squares fits all of them exactly; at "
    "D = n the solution divides by singular values near 0, so the height there means little."
)
MARKS = (
    " Dotted: the first place with a training error of 10 % or less (over examples and weight decay: the last), the "
    "paper's threshold; the tick at the bottom is at 1 %."
)
DOTTED = (
    "dotted: where the training error is ≤ 10 %, from or up to; tick at the foot: ≤ 1 %; peak: more than a point above "
    "the lowest error on both sides"
)
BANDS = " Lines are means over seeds, bands span the smallest to the largest."


def shown_quantities(names: set[str]) -> list[str]:
    """Error, the loss of the task, BLEU: those that there are."""
    loss = next((name for name in LOSSES if name in names), None)
    return [name for name in ("top1", loss, "bleu") if name in names]


def is_logged(trials: Trials) -> bool:
    """Whether some run measured test and training examples several times during training."""

    def steps(record: Record, split: str) -> int:
        return len({row["step"] for row in record.rows if row["split"] == split})

    records = [record for point in trials.points for record in point.records]
    return any(min(steps(record, split) for split, _ in SPLITS.values()) >= FEWEST for record in records)


def ends_of(points: Sequence[Group], path: str, quantities: Sequence[str]) -> dict[tuple[str, str], list[Curve]]:
    """Final metrics over a field of the recipe, by side and quantity."""
    return {(side, name): [at_the_end(points, path, SPLITS[side][1], name)] for side in SIDES for name in quantities}


def courses_of(
    points: Sequence[Group], quantities: Sequence[str], steps_per_epoch: float | None
) -> dict[tuple[str, str], list[Curve]]:
    """Metrics logged during training, by side and quantity; over steps if it is not known how long an epoch is."""
    return {
        (side, name): [course(points, SPLITS[side][0], name, steps_per_epoch)] for side in SIDES for name in quantities
    }


def axis_of(part: Slice, path: str) -> Axis:
    """An axis of a path of the recipe, with the numbers of parameters if it is a width."""
    values = [value for value in distinct(value_of(point, path) for point in part.points) if is_number(value)]
    label = AXES[path][0] if path in AXES else path
    counted = {value_of(point, path): point.fact("parameters") for point in part.points}
    parameters = {value: count for value, count in counted.items() if count} if path.startswith("model.") else {}
    symbol = label.split()[-1] if path.startswith(("model.", "data.")) else label
    return Axis(label, symbol, values, parameters, is_harder=path in (EXAMPLES, DECAY))


@dataclasses.dataclass(frozen=True)
class Texts:
    """What is written to a kind of figure."""

    name: str  # of its files
    kind: str  # "Model-wise"
    caption: str
    ways: str = ""  # what solid and dashed lines are, where both are drawn


def drawing_of(
    trials: Trials, part: Slice, texts: Texts, lines: Sequence[Line], axis: Axis, quantities: Sequence[str]
) -> Drawing:
    """The drawing of lines with its title, small print and caption."""
    named = [dataclasses.replace(line, text=line.text or part.text or "all runs") for line in lines]
    title = title_of(trials, part, texts.kind)
    is_marked = not trials.is_exact and "top1" in quantities
    figure = figure_of(title, named, axis, quantities, f"{texts.ways}{DOTTED * is_marked}\n{foot_of(trials)}")
    caption = texts.caption + FITTED + MARKS * is_marked + EXACT * trials.is_exact
    return finished_drawing(trials, part, texts.name, title, caption, figure)


def title_of(trials: Trials, part: Slice, kind: str) -> str:
    return f"{kind}: {trials.place}" + (f", {part.text}" if part.text else "")


def foot_of(trials: Trials) -> str:
    """What a figure must say if it stands alone."""
    validation, test = (settings_of(trials.points[0]).get(f"data.{part}_split") for part in ("validation", "test"))
    return (
        "training examples: a separate pass in inference mode"
        + ", by the labels trained on; test labels are clean" * _has_labels(trials)
        + "\nlines: means over seeds, bands: smallest to largest" * has_bands(trials.points)
        + "\nduring training test examples are the validation split, at the end the test split" * (validation != test)
    )


def finished_drawing(trials: Trials, part: Slice, name: str, title: str, caption: str, figure: Figure) -> Drawing:
    source = trials.points[0].experiment.paper.citation.partition(",")[0]
    whole = (
        caption + LABELLED * _has_labels(trials) + BANDS * has_bands(trials.points) + _notes(trials) + f" ({source}.)"
    )
    return Drawing(f"{name}_{trials.slug}{part.slug}", title, whole, figure, frozenset([trials.name]))


def _notes(trials: Trials) -> str:
    """What a caption adds about these runs."""
    point = trials.points[0]
    left = sum(not record.is_finished for p in trials.points for record in p.records)
    papers = point.experiment.data.name
    return "".join(
        (
            f" These runs are on {trials.data.beside(papers)}: compare the shape of the curves with the "
            "paper's, not their height."
            if not point.is_on_papers_data
            else "",
            f" Changing with it: {', '.join(trials.following)}." if trials.following else "",
            f" Not finished: {left} runs." if left else "",
        )
    )


def _has_labels(trials: Trials) -> bool:
    return isinstance(trials.points[0].experiment.data, SmallImages)


def seeds_of(points: Sequence[Group], *, finished: bool = True) -> str:
    """How many runs a point has, finished ones or all: "3", or "1 to 3"."""
    counts = sorted({len(point.finished if finished else point.records) for point in points} - {0})
    return " to ".join(map(str, dict.fromkeys((counts[0], counts[-1])))) if counts else "0"

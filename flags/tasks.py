"""The registry of tasks: one record per kind of problem, for the command line.

`trainers.tasks` maps each task to its class. A new task needs one entry in each of the two registries.
"""

from __future__ import annotations

import dataclasses

from flags.errors import UserError

EVERY_TASK = ("train", "evaluate", "export", "describe", "prepare", "sweep", "report")  # modes that every task supports


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskKind:
    """One kind of problem, as the command line sees it."""

    name: str  # the value of `Experiment.task`
    does: str  # follows the experiment's name in the error for an unsupported mode
    modes: tuple[str, ...]  # in addition to `EVERY_TASK`
    synthetic: str  # describes `--data=synthetic`
    headline: str  # the metric in --list_experiments, a name in `flags.metrics`
    is_closed_form: bool = False  # whether weights are solved for, without an optimizer and a schedule
    not_averaged: str | None = None  # why --ensemble cannot average its models, after "the run is"; None: it can
    needs_prompt: bool = False  # whether --mode=generate requires --prompt
    unused: tuple[str, ...] = ()  # flags without effect for this task
    unused_because: str = ""  # the reason, after "EXPERIMENT, which"


TASKS: dict[str, TaskKind] = {}


def register(kind: TaskKind) -> None:
    """Registers a task."""
    if kind.name in TASKS:
        raise ValueError(f"task: {kind.name!r} is registered already")
    TASKS[kind.name] = kind


def get(name: str) -> TaskKind:
    """Returns the record of a task.

    Raises:
        UserError: the task is not registered.
    """
    if name not in TASKS:
        raise UserError(f"task {name!r} is not registered. Tasks: {', '.join(TASKS)}.")
    return TASKS[name]


register(
    TaskKind(
        name="classification",
        does="classifies images; --mode=predict prints the predicted classes",
        modes=("predict", "benchmark"),
        synthetic="random images and labels",
        headline="top1",
    )
)
register(
    TaskKind(
        name="least_squares",
        does="solves for its head and classifies images; --mode=predict prints the predicted classes",
        modes=("predict",),
        synthetic="random images and labels",
        headline="top1",
        is_closed_form=True,
        not_averaged="a least-squares model, whose scores are not probabilities",
    )
)
register(
    TaskKind(
        name="language_modelling",
        does="is a language model; --mode=generate writes text with it",
        modes=("generate", "benchmark"),
        synthetic="random text",
        headline="bpc",
        not_averaged="a language model",
    )
)
register(
    TaskKind(
        name="translation",
        does="translates; --mode=generate --prompt=TEXT translates a text",
        modes=("generate", "benchmark"),
        synthetic="pairs of random words, with the target in reverse order",
        headline="bleu",
        not_averaged="a translation model",
        needs_prompt=True,
        unused=("length", "temperature", "top_k", "top_p"),
        unused_because="searches for the most likely translation. Remove it; --set=data.beam=4 widens the search",
    )
)
register(
    TaskKind(
        name="regression",
        does="is a regression on vectors; --mode=evaluate tests it",
        modes=("benchmark",),
        synthetic="random numbers",
        headline="squared_error",
        not_averaged="a regression",
    )
)

"""What can be done with each kind of problem: one record per task, for the command line.

`trainers.tasks` says where a task's class is. A new kind of problem needs one line in each of the two registries.
"""

from __future__ import annotations

import dataclasses

from flags.errors import UserError

EVERY_TASK = ("train", "evaluate", "export", "describe", "prepare", "sweep", "report")  # modes that every task has


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskKind:
    """One kind of problem, as the command line knows it."""

    name: str  # of `Experiment.task`
    does: str  # after an experiment's name, when a mode does not fit it
    modes: tuple[str, ...]  # besides those of `EVERY_TASK`
    synthetic: str  # what `--data=synthetic` is
    headline: str  # the metric that --list_experiments shows, a name in `flags.metrics`
    is_closed_form: bool = False  # whether weights are solved for, without an optimizer and a schedule
    not_averaged: str | None = None  # why --ensemble cannot average its models, after "the run is"; None: it can
    needs_prompt: bool = False  # whether --mode=generate has nothing to do without --prompt
    unused: tuple[str, ...] = ()  # flags that mean nothing to it,
    unused_because: str = ""  # and why, after the experiment's name


TASKS: dict[str, TaskKind] = {}


def register(kind: TaskKind) -> None:
    """Makes a kind of problem known."""
    if kind.name in TASKS:
        raise ValueError(f"task: {kind.name!r} is registered already")
    TASKS[kind.name] = kind


def get(name: str) -> TaskKind:
    """The record of a task.

    Raises:
        UserError: there is none.
    """
    if name not in TASKS:
        raise UserError(f"task {name!r} is not registered. Tasks: {', '.join(TASKS)}.")
    return TASKS[name]


register(
    TaskKind(
        name="classification",
        does="classifies images; --mode=predict says what is on them",
        modes=("predict", "benchmark"),
        synthetic="random images and labels",
        headline="top1",
    )
)
register(
    TaskKind(
        name="least_squares",
        does="solves for its head and classifies images; --mode=predict says what is on them",
        modes=("predict",),
        synthetic="random images and labels",
        headline="top1",
        is_closed_form=True,
        not_averaged="least squares, whose scores are no probabilities",
    )
)
register(
    TaskKind(
        name="language_modelling",
        does="is a language model; --mode=generate lets it write",
        modes=("generate", "benchmark"),
        synthetic="random text",
        headline="bpc",
        not_averaged="a language model",
    )
)
register(
    TaskKind(
        name="translation",
        does="translates; --mode=generate --prompt=TEXT shows it at work",
        modes=("generate", "benchmark"),
        synthetic="pairs of random words, the target's in reverse order",
        headline="bleu",
        not_averaged="a translation model",
        needs_prompt=True,
        unused=("length", "temperature", "top_k", "top_p"),
        unused_because="searches for the likeliest translation. Leave it out; --set=data.beam=4 searches wider",
    )
)
register(
    TaskKind(
        name="regression",
        does="learns numbers from numbers; --mode=evaluate tests it",
        modes=("benchmark",),
        synthetic="random numbers",
        headline="squared_error",
        not_averaged="a regression",
    )
)

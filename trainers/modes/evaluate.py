"""`--mode=evaluate`: the metrics of finished runs, or of imported weights, on a split."""

from __future__ import annotations

import json

from flags.errors import UserError
from flags.run import Run
from trainers.session import Session, open_session
from trainers.tasks import task_class


def evaluate(run: Run) -> None:
    """Prints the metrics of a finished run, of imported weights or of an ensemble on `--split`."""
    session = open_session(run)
    members = [session, *(open_session(other, strategy=session.strategy) for other in (run.ensemble or ())[1:])]
    for member in members[1:]:
        _check_same_data(session, member)
    split = chosen_split(session)
    if run.ensemble:
        pairs = [(member.task, member.load_model()) for member in members]
        evaluation = task_class(session.recipe).ensemble(pairs, session.strategy)
        protocols = [member.task.test_protocol for member in members]
    else:
        evaluation = session.task.evaluation(session.task.test_protocol, session.strategy, session.load_model())
        protocols = [evaluation.protocol(split)]
    metrics = evaluation.run(split)
    further, extras = evaluation.final(split)
    metrics |= further
    names = [member.recipe.name for member in members]
    result = {
        "experiment": names[0],
        "data": session.variant,
        "split": split,
        "test_protocol": protocols[0],
        "metrics": metrics,
        **extras,
    }
    if run.ensemble:
        runs = zip(names, protocols, (str(member.folder.path) for member in members))
        result["ensemble"] = [{"experiment": n, "test_protocol": p, "model_dir": d} for n, p, d in runs]
    if run.json:
        print(json.dumps(result))
        return
    what = names[0] if not run.ensemble else f"the mean of {' and '.join(names)}"
    how = ", ".join(sorted({protocol.replace("_", " ") for protocol in protocols}))
    print(f"{what} on {session.recipe.data.name}, {split}, {how} ({session.variant} data)")
    for name, value in metrics.items():
        print(f"  {name:17} {value:.4f}" if isinstance(value, float) else f"  {name:17} {value:,}")
    if lines := evaluation.format_extras(extras):
        print(lines)


def chosen_split(session: Session) -> str:
    """Returns the split selected by `--split`.

    Raises:
        UserError: the recipe does not have this split.
    """
    name = session.run.split
    split = getattr(session.recipe.data, f"{name}_split")
    if split is None:
        raise UserError(f"--split={name}: data.{name}_split of this run is none. Choose another --split.")
    return split


def _check_same_data(session: Session, other: Session) -> None:
    """Raises UserError if two runs of an ensemble have different test data."""

    def question(session):
        data = session.recipe.data
        return data.name, getattr(data, f"{session.run.split}_split")

    if question(session) != question(other):
        ours, theirs = (" ".join(map(str, question(each))) for each in (session, other))
        raise UserError(
            f"--ensemble: {session.folder.path} was tested on {ours}, {other.folder.path} on {theirs}. "
            "Give runs on the same data."
        )

"""A sweep that version 0.1.0 began is continued: its `sweep.json` lacks fields, and has some that are gone."""

import json

import pytest

from flags import run as run_flags
from flags.errors import UserError
from trainers.sweeps.folder import SweepFolder

COMMAND = ("main", "--experiment=dd_two_layer_linear", "--mode=sweep", "--data=synthetic", "--seeds=0,1")


def claim(folder, *arguments):
    run = run_flags.parse([*COMMAND, *arguments])
    folder.claim(run, "synthetic", run.recipe_for("synthetic"), run.sweep_for("synthetic"))


@pytest.fixture
def old(tmp_path):
    folder = SweepFolder(tmp_path)
    claim(folder)
    plan = json.loads(folder.plan.read_text())
    for path in ("optimizer", "schedule", "init.path", "init.skip", "init.frozen"):
        del plan["recipe"][path]
    plan["recipe"] |= {"train.label_smoothing": 0.0, "train.micro_batches": 1, "train.eval_batch": 512}
    folder.plan.write_text(json.dumps(plan))
    return folder


def test_an_old_sweep_may_grow_as_any_other(old):
    claim(old, "--seeds=0,1,2")
    plan = json.loads(old.plan.read_text())
    assert plan["seeds"] == [0, 1, 2] and plan["recipe"]["optimizer"] == "layerwise_sgd"


def test_an_old_sweep_of_another_recipe_is_refused(old):
    with pytest.raises(UserError, match="schedule.lr: .* -> 0.5"):
        claim(old, "--set=schedule.lr=0.5")

"""Kinds of optimizer and schedule by --set, and the weights that a run starts from."""

import pytest

from flags import catalog, overrides, run
from flags.errors import UserError
from flags.optimization import Adam
from flags.schedules import Constant, Cosine

STEPWISE = [name for name in catalog.names() if catalog.get(name).schedule is not None]


def _recipe(*texts, experiment="effnet_b0"):
    return run.parse(["x", f"--experiment={experiment}", *(f"--set={text}" for text in texts)]).recipe_for("paper")


@pytest.mark.parametrize("order", [1, -1])
def test_fields_of_a_new_kind_are_set_in_any_order(order):
    chosen = _recipe(*("optimizer=adam", "optimizer.beta_1=0.8")[::order]).optimizer
    assert chosen == Adam(weight_decay=1e-5, decayed="outside_batch_norm", beta_1=0.8)


def test_a_field_of_the_former_kind_is_gone(mistake_of):
    assert "no such field" in mistake_of(_recipe, "optimizer=adam", "optimizer.momentum=0.5")


@pytest.mark.parametrize(("path", "names"), [("optimizer", "rmsprop, momentum"), ("schedule", "constant, cosine")])
def test_an_unknown_kind_gets_the_list(mistake_of, path, names):
    message = mistake_of(_recipe, f"{path}=nothing")
    assert message.startswith(f"--set={path}=nothing: no such {path}.")
    assert names.partition(",")[0] in message


@pytest.mark.parametrize("name", STEPWISE)
@pytest.mark.parametrize(("kind", "made"), [("constant", Constant), ("cosine", Cosine)])
def test_every_experiment_takes_a_schedule_of_any_network(name, kind, made):
    experiment = catalog.get(name)
    changed = overrides.apply(experiment, overrides.parse([f"schedule={kind}"], experiment).items())
    assert type(changed.schedule) is made
    assert changed.schedule.lr > 0


def test_a_schedule_begins_at_the_rate_of_the_one_it_replaces():
    assert _recipe("schedule=cosine").schedule.lr == pytest.approx(0.016 * 4096 / 256)


def test_the_kind_is_part_of_the_flat_recipe_and_of_differences():
    before, after = (overrides.flatten(_recipe(*texts)) for texts in ((), ("optimizer=adam",)))
    assert "optimizer: rmsprop -> adam" in overrides.difference(before, after)


def test_a_sweep_goes_through_kinds():
    swept = run.parse(["x", "--experiment=effnet_b0", "--mode=sweep", "--grid=optimizer=adam,momentum"])
    assert swept.sweep_for("paper").grid == {"optimizer": ("adam", "momentum")}


def test_init_from_is_short_for_the_recipes_path():
    short = run.parse(["x", "--experiment=effnet_b0", "--init_from=w.keras"])
    assert short == run.parse(["x", "--experiment=effnet_b0", "--set=init.path=w.keras"])
    assert short.recipe_for("paper").init.path == "w.keras"


def test_layers_are_skipped_and_frozen_by_names():
    init = _recipe("init.path=w.keras", "init.skip=head", "init.frozen=stem,stage1_*").init
    assert (init.skip, init.frozen) == (("head",), ("stem", "stage1_*"))


def test_no_layer_is_skipped_without_weights():
    with pytest.raises(UserError, match="init.skip=head"):
        _recipe("init.skip=head")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--set=optimizer=adam", "--set=optimizer.beta_1=0.8", "--seed=3", "--quiet"),
        ("--mode=sweep", "--grid=train.steps=10,20", "--seeds=1,2", "--sweep_shard=1/2"),
        ("--init_from=w.keras", "--noexport", "--data=synthetic", "--model_dir=a b"),
    ],
)
def test_the_arguments_of_a_run_parse_to_the_run(arguments):
    meant = run.parse(["x", "--experiment=effnet_b0", *arguments])
    assert run.parse(["x", *meant.arguments()]) == meant


def test_a_variant_is_resolved_once():
    bound = run.parse(["x", "--experiment=effnet_b0"])
    assert bound.recipe_for("paper") is bound.recipe_for("paper")


@pytest.mark.parametrize("text", ["schedule=cosine", "schedule.lr=1"])
def test_a_fit_in_closed_form_says_that_it_has_no_schedule(text):
    with pytest.raises(UserError, match=f"^--set={text}: this experiment is fitted in closed form and has no schedule"):
        run.parse(["x", "--experiment=dd_random_features_mnist", f"--set={text}"])


def test_a_fit_in_closed_form_has_no_layers_to_freeze(mistake_of):
    message = mistake_of(run.parse, ["x", "--experiment=dd_random_features_mnist", "--set=init.frozen=head"])
    assert message.startswith("init.frozen=head: only the head is solved for")

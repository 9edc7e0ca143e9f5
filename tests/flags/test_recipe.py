"""The dataclasses of a recipe: frozen, checked, and exact about steps."""

import dataclasses

import pytest

from flags import catalog, overrides
from flags.data import Text
from flags.errors import UserError
from flags.optimization import Lamb, Momentum, RMSProp
from flags.recipe import Experiment, Model, Paper
from flags.schedules import Stepwise, WarmUp
from flags.training import Train


def train(**fields) -> Train:
    return Train(**{"global_batch": 8, "eval_every": 1, "checkpoint_every": 1, **fields})


def test_steps_are_taken_as_they_are():
    assert train(steps=17).total_steps(1000) == 17


@pytest.mark.parametrize(
    ("global_batch", "epochs", "examples", "steps"),
    [
        (4096, 350, 1_281_167, 109_474),  # 109,474.7: the official code's number
        (2048, 350, 1_281_167, 218_949),
        (1, 0.29, 100, 29),  # 28.999999999999996 in floating point
        (64, 1, 10, 1),  # less than a batch: one step all the same
    ],
)
def test_epochs_become_steps_rounded_down(global_batch, epochs, examples, steps):
    assert train(global_batch=global_batch, epochs=epochs).total_steps(examples) == steps


def test_an_epoch_is_not_rounded_to_steps():
    assert train(global_batch=4096, epochs=1).steps_per_epoch(1_281_167) == pytest.approx(312.785, abs=5e-4)


@pytest.mark.parametrize("length", [{}, {"steps": 1, "epochs": 1}])
def test_a_run_has_exactly_one_length(length):
    with pytest.raises(UserError, match="exactly one"):
        train(**length)


def test_a_recipe_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        train(steps=1).steps = 2


def test_a_models_options_are_what_its_builder_takes():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Net(Model):
        resolution: int = 32
        dropout: float = 0.0
        width: float | None = None

    assert Net(name="net").options() == {"dropout": 0.0}
    assert Net(name="net", width=2.0).options() == {"dropout": 0.0, "width": 2.0}


def text(**fields) -> Text:
    return Text(
        **{"name": "t", "segment_length": 8, "length_seed": 0, "validation_lanes": 2, "test_lanes": 2, **fields}
    )


def lamb(**fields) -> Lamb:
    usual = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-6, "min_trust": 0.25, "max_weight_norm": 10.0}
    return Lamb(**{**usual, "weight_decay": 1e-3, **fields})


def language_model(**groups) -> Experiment:
    usual = {
        "model": Model(name="m"),
        "data": text(),
        "optimizer": lamb(),
        "schedule": WarmUp(lr=0.1, warmup_steps=10),
        "train": train(epochs=4),
    }
    paper = Paper(citation="c", row="r", numbers={})
    return Experiment(name="e", summary="s", task="language_modelling", paper=paper, **{**usual, **groups})


@pytest.mark.parametrize(
    "fields",
    [
        {"segment_length": 0},
        {"validation_lanes": 0},
        {"test_lanes": 0},
        {"length_seed": -1},
        {"length_seed": 2**32},
        {"second_pass_length_seed": -1},
    ],
)
def test_a_text_out_of_range_is_refused_and_named(mistake_of, fields):
    assert mistake_of(lambda: text(**fields)).startswith(f"data.{next(iter(fields))}=")


@pytest.mark.parametrize(
    "fields",
    [
        {"beta_1": 1.0},
        {"beta_2": -0.1},
        {"epsilon": 0.0},
        {"min_trust": -0.1},
        {"max_weight_norm": 0.0},
        {"weight_decay": -1.0},
    ],
)
def test_a_lamb_out_of_range_is_refused_and_named(mistake_of, fields):
    assert mistake_of(lambda: lamb(**fields)).startswith(f"optimizer.{next(iter(fields))}=")


@pytest.mark.parametrize(
    "fields",
    [
        {"lr": 0.0},
        {"warmup_steps": 0},
        {"cooldown_steps": 0},
        {"second_pass_epochs": -1.0},
        {"second_pass_factor": 0.0},
    ],
)
def test_a_warm_up_out_of_range_is_refused_and_named(mistake_of, fields):
    message = mistake_of(lambda: WarmUp(**{"lr": 0.1, "warmup_steps": 10, **fields}))
    assert message.startswith(f"schedule.{next(iter(fields))}=")


def test_the_loss_has_the_l2_term_of_every_optimizer_but_lamb():
    assert Momentum(momentum=0.9, weight_decay=1e-4).l2 == 1e-4
    assert RMSProp(decay=0.9, momentum=0.9, epsilon=1e-3, weight_decay=1e-5).l2 == 1e-5
    assert (lamb().weight_decay, lamb().l2, lamb().decayed) == (1e-3, 0.0, "all")


@pytest.mark.parametrize(
    "field",
    ["label_smoothing", "micro_batches", "batch_norm_batch", "exact_bn_statistics", "measure_fit", "eval_batch"],
)
def test_what_means_nothing_to_a_language_model_does_not_exist_for_it(mistake_of, field):
    message = mistake_of(overrides.parse, [f"train.{field}=1"], catalog.get("sha_rnn_enwik8"))
    assert message.startswith(f"--set=train.{field}=1: no such field.") and "Fields of train: global_batch" in message


@pytest.mark.parametrize("text", ["batch_norm_batch=10", "label_smoothing=0.1", "exact_bn_statistics=true"])
def test_what_means_nothing_to_a_regression_does_not_exist_for_it(mistake_of, text):
    message = mistake_of(overrides.parse, [f"train.{text}"], catalog.get("dd_two_layer_linear"))
    assert message.startswith(f"--set=train.{text}: no such field.")


def test_a_language_model_may_keep_a_weight_average():
    assert language_model(train=train(epochs=4, ema_decay=0.99)).train.ema_decay == 0.99


@pytest.mark.parametrize("fields", [{"drops": "plateau"}, {"warmup_lr": 0.01}])
def test_what_watches_top1_is_for_images_only(mistake_of, fields):
    stepwise = Stepwise(lr=0.1, boundaries=(5,), **fields)
    assert "top-1 accuracy" in mistake_of(lambda: language_model(schedule=stepwise))
    assert language_model(schedule=Stepwise(lr=0.1, boundaries=(5,))).schedule.boundaries == (5,)


@pytest.mark.parametrize(("validation", "is_allowed"), [("validation", True), ("test", False), (None, False)])
def test_a_language_models_checkpoint_is_selected_on_held_out_text_alone(mistake_of, validation, is_allowed):
    groups = {"data": text(validation_split=validation), "train": train(epochs=4, select="best")}
    if is_allowed:
        assert language_model(**groups).train.select == "best"
    else:
        assert "train.select=best" in mistake_of(lambda: language_model(**groups))


def with_second_pass(*, epochs=2.0, data=None, **length) -> Experiment:
    return language_model(
        data=data or text(second_pass_length_seed=1),
        schedule=WarmUp(lr=0.1, warmup_steps=10, second_pass_epochs=epochs),
        train=train(**(length or {"epochs": 4})),
    )


def test_a_second_pass_is_the_last_of_the_epochs():
    assert with_second_pass().schedule.second_pass_epochs == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 9}, "train.steps=9 is given. Set schedule.second_pass_epochs=0, or train.epochs"),
        ({"epochs": 4}, "must be fewer than train.epochs=4"),
        ({"data": text(second_pass_length_seed=1, validation_split=None)}, "data.validation_split=None"),
        ({"data": text(second_pass_length_seed=1, validation_split="test")}, "data.validation_split=test"),
        ({"data": text()}, "Set data.second_pass_length_seed, such as 125, or schedule.second_pass_epochs=0."),
    ],
)
def test_a_second_pass_without_what_it_needs_is_refused(mistake_of, changes, words):
    message = mistake_of(lambda: with_second_pass(**changes))
    assert message.startswith("schedule.second_pass_epochs=") and words in message


def test_without_a_second_pass_its_seed_is_neither_needed_nor_in_the_way():
    assert with_second_pass(epochs=0.0, steps=9).data.second_pass_length_seed == 1
    assert with_second_pass(epochs=0.0, data=text()).data.second_pass_length_seed is None

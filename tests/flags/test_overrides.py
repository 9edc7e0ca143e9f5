"""--set: every type of field, every mistake; recipes as flat dicts and their differences."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Literal

import pytest

from flags import catalog, overrides
from flags.recipe import Experiment, Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class EveryType(Model):
    """A field of each kind that a recipe may have."""

    whole: int = 1
    number: float = 1.0
    switch: bool = False
    text: str = "a"
    choice: Literal["red", "green"] = "red"
    size: Literal[1, 2] = 1
    maybe_whole: int | None = None
    maybe_choice: Literal["red", "green"] | None = None
    numbers: tuple[float, ...] = (1.0,)
    sides: tuple[int, ...] = (1,)
    words: tuple[str, ...] = ("a",)
    table: Mapping[str, int] = dataclasses.field(default_factory=dict)


@pytest.fixture
def effnet() -> Experiment:
    return catalog.get("effnet_b0")


@pytest.fixture
def every_type(effnet) -> Experiment:
    return dataclasses.replace(effnet, model=EveryType(name="every"))


def set_fields(experiment, *texts):
    return overrides.apply(experiment, overrides.parse(texts, experiment).items())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("whole=4096", 4096),
        ("whole=1_000", 1000),
        ("whole=-3", -3),
        ("number=1e-3", 0.001),
        ("number=3", 3.0),
        ("number=.5", 0.5),
        ("switch=true", True),
        ("switch=Yes", True),
        ("switch=1", True),
        ("switch=on", True),
        ("switch=false", False),
        ("switch=no", False),
        ("switch=0", False),
        ("switch=off", False),
        ("text=train[:90%]", "train[:90%]"),
        ("text=a=b", "a=b"),
        ("text=none", "none"),
        ("choice=green", "green"),
        ("size=2", 2),
        ("maybe_whole=none", None),
        ("maybe_whole=None", None),
        ("maybe_whole=7", 7),
        ("maybe_choice=none", None),
        ("maybe_choice=green", "green"),
        ("numbers=1,2.5, 3", (1.0, 2.5, 3.0)),
        ("numbers=4", (4.0,)),
        ("sides=224,256", (224, 256)),
        ("sides=none", ()),
        ("numbers=None", ()),
    ],
)
def test_a_text_becomes_a_value_of_the_fields_type(every_type, text, value):
    field = text.partition("=")[0]
    new = getattr(set_fields(every_type, f"model.{text}").model, field)
    assert new == value
    assert type(new) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("whole=4e3", ["whole number"]),
        ("whole=", ["whole number"]),
        ("whole=none", ["whole number"]),
        ("number=fast", ["a number"]),
        ("number=nan", ["a number"]),
        ("number=inf", ["a number"]),
        ("switch=maybe", ["true or false"]),
        ("text=", ["non-empty"]),
        ("choice=gren", ["red, green", "Near: green"]),
        ("choice=GREEN", ["red, green", "Near: green"]),
        ("size=3", ["one of 1, 2"]),
        ("maybe_whole=x", ["whole number", "or none"]),
        ("numbers=1,,2", ["comma-separated"]),
        ("numbers=1,x", ["comma-separated"]),
        ("numbers=1,none", ["comma-separated", "or none"]),
        ("numbers=", ["comma-separated", "or none"]),
        ("sides=1.5", ["whole numbers", "comma-separated"]),
        ("table=b", ["cannot be set"]),
    ],
)
def test_a_value_of_another_type_is_refused_with_what_is_allowed(every_type, mistake_of, text, words):
    message = mistake_of(set_fields, every_type, f"model.{text}")
    assert message.startswith(f"--set=model.{text}: ")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "train.global_bach=64",
            ["no such field", "Near: train.global_batch", "Fields of train: global_batch, epochs"],
        ),
        ("train.lr=1", ["no such field", "Near: schedule.lr_per_256"]),
        ("global_batch=64", ["no such field", "Near: train.global_batch", "Groups: model, data, optimizer"]),
        ("optimzer.decay=0.5", ["no such field", "Near: optimizer.decay"]),
        ("zzz=1", ["no such field", "Groups: model, data, optimizer, schedule, train"]),
        ("=1", ["no such field"]),
        ("train=3", ["train is a group", "global_batch, epochs, steps"]),
        ("train", ["train is a group", "global_batch, epochs, steps"]),
        ("train.steps", ["a value is missing", "--set=train.steps=", "whole number"]),
        ("model.", ["no such field", "Fields of model: name, resolution"]),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_with_the_nearest(effnet, mistake_of, text, words):
    message = mistake_of(set_fields, effnet, text)
    assert message.startswith(f"--set={text}: ")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "path", ["name", "summary", "task", "paper", "paper.row", "deviations", "sample", "sample_deviations", "synthetic"]
)
def test_what_an_experiment_is_cannot_be_set(effnet, mistake_of, path):
    assert "cannot be set" in mistake_of(set_fields, effnet, f"{path}=x")


def test_the_fields_of_a_papers_own_model_can_be_set(effnet):
    assert set_fields(effnet, "model.survival_probability=0.5").model.survival_probability == 0.5


def test_the_experiment_given_stays_as_it_is(effnet):
    before = overrides.flatten(effnet)
    set_fields(effnet, "train.global_batch=64")
    assert overrides.flatten(effnet) == before


def test_a_path_given_twice_takes_its_last_value(effnet):
    assert set_fields(effnet, "train.log_every=1", "train.log_every=2").train.log_every == 2


@pytest.mark.parametrize(
    ("texts", "steps", "epochs"),
    [
        (["train.steps=10"], 10, None),
        (["train.epochs=2"], None, 2),
        (["train.steps=10", "train.epochs=2"], None, 2),
        (["train.epochs=2", "train.steps=10"], 10, None),
        (["train.steps=10", "train.epochs=none"], 10, None),
    ],
)
def test_steps_and_epochs_replace_each_other_and_the_last_one_holds(effnet, texts, steps, epochs):
    train = set_fields(effnet, *texts).train
    assert (train.steps, train.epochs) == (steps, epochs)


def test_a_run_needs_a_length(effnet, mistake_of):
    message = mistake_of(set_fields, effnet, "train.epochs=none")
    assert "train.steps=None" in message and "exactly one" in message


def test_fields_that_are_only_valid_together_are_checked_together(effnet):
    # 3 divides neither the old batch nor does the new batch suit the old number of micro-batches.
    train = set_fields(
        set_fields(effnet, "train.micro_batches=4096"), "train.global_batch=9", "train.micro_batches=3"
    ).train
    assert (train.global_batch, train.micro_batches) == (9, 3)


@pytest.mark.parametrize(
    "text",
    [
        "train.global_batch=0",
        "train.micro_batches=3",
        "train.ema_decay=1",
        "train.label_smoothing=-0.1",
        "train.clip_norm=0",
        "train.steps=0",
        "train.epochs=-1",
        "train.eval_batch=0",
        "optimizer.decay=1",
        "optimizer.momentum=-1",
        "optimizer.epsilon=0",
        "optimizer.weight_decay=-1",
        "schedule.lr_per_256=0",
        "schedule.decay_rate=1.1",
        "schedule.decay_epochs=0",
        "schedule.warmup_epochs=-1",
        "data.crop_padding=-1",
        "data.shuffle_window=0",
        "data.mean=1,2",
        "data.stddev=1,0,1",
        "data.examples_per_epoch=0",
        "model.dropout=1",
        "model.resolution=0",
        "model.survival_probability=0",
        "model.width=0",
        "model.depth=-1",
    ],
)
def test_a_value_out_of_range_is_refused_and_named(effnet, mistake_of, text):
    assert text.partition("=")[0] in mistake_of(set_fields, effnet, text)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("model.whole", 1.5, "whole number"),
        ("model.whole", True, "whole number"),
        ("model.whole", "1", "whole number"),
        ("model.number", True, "a number"),
        ("model.switch", 1, "true or false"),
        ("model.choice", "blue", "red, green"),
        ("model.numbers", [1.0], "comma-separated"),
        ("model.numbers", (1.0, "x"), "comma-separated"),
        ("model.nothing", 1, "no such field"),
        ("name", "x", "cannot be set"),
    ],
)
def test_apply_refuses_python_values_of_another_type(every_type, mistake_of, path, value, words):
    message = mistake_of(overrides.apply, every_type, [(path, value)])
    assert message.startswith(f"{path}=")
    assert words in message


def test_apply_takes_every_kind_of_value(every_type):
    values = {
        "model.whole": 2,
        "model.number": 2,
        "model.switch": True,
        "model.text": "b",
        "model.choice": "green",
        "model.size": 2,
        "model.maybe_whole": 3,
        "model.maybe_choice": None,
        "model.numbers": (1, 2.0),
        "model.words": ("b", "c"),
        "model.table": {"a": 1},
    }
    model = overrides.apply(every_type, values.items()).model
    assert {path: getattr(model, path.partition(".")[2]) for path in values} == values


def test_no_assignment_changes_nothing(effnet):
    assert overrides.apply(effnet, []) == effnet


@pytest.mark.parametrize("data", ["paper", "sample", "synthetic"])
def test_a_flat_recipe_survives_json(effnet, data):
    flat = overrides.flatten(catalog.variant(effnet, data))
    assert json.loads(json.dumps(flat)) == flat
    assert overrides.difference(json.loads(json.dumps(flat)), flat) == []


def test_a_flat_recipe_has_every_field_of_every_group(effnet):
    flat = overrides.flatten(effnet)
    for group in ("model", "data", "optimizer", "schedule", "train"):
        for field in dataclasses.fields(getattr(effnet, group)):
            assert f"{group}.{field.name}" in flat
    assert flat["name"] == "effnet_b0"
    assert flat["data.mean"] == list(effnet.data.mean)


def test_the_value_that_a_difference_shows_is_what_set_takes(effnet):
    changed = set_fields(effnet, "train.steps=7", "data.flip=false", "data.mean=1,2,3")
    lines = overrides.difference(overrides.flatten(effnet), overrides.flatten(changed))
    texts = [line.replace(": ", "=").partition("=") for line in lines]
    again = set_fields(effnet, *(f"{path}={rest.partition(' -> ')[2]}" for path, _, rest in texts))
    assert again == changed


def test_no_numbers_at_all_are_shown_as_set_takes_them(every_type):
    empty = set_fields(every_type, "model.sides=none")
    lines = overrides.difference(overrides.flatten(every_type), overrides.flatten(empty))
    assert lines == ["model.sides: 1 -> none"]


def test_a_difference_is_a_line_for_each_field(effnet):
    old = overrides.flatten(effnet)
    new = overrides.flatten(set_fields(effnet, "train.global_batch=128", "model.width=2"))
    assert overrides.difference(old, new) == ["model.width: none -> 2.0", "train.global_batch: 4096 -> 128"]
    assert overrides.difference(new, old) == ["model.width: 2.0 -> none", "train.global_batch: 128 -> 4096"]


def test_a_field_that_only_one_recipe_has_is_a_difference():
    assert overrides.difference({"a.b": 1}, {"a.c": None}) == [
        "a.b: 1 -> (no such field)",
        "a.c: (no such field) -> none",
    ]

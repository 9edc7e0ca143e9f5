"""Any field of any recipe, set to another value, gives a run that works or one line that says why it cannot."""

import dataclasses
import json
import typing

import keras
import pytest

from flags import catalog, overrides
from flags.errors import UserError
from tests.trainers.test_experiments import SMALL
from trainers.main import main

ALWAYS = {  # the runs below that are no slow tests: one of each outcome, with small networks
    ("dd_transformer_iwslt14", "data.validation_split=nope"),
    ("dd_random_features_fashion_mnist", "train.log_every=200"),
    ("dd_two_layer_linear", "data.test_split=train"),
}
SHORT = {"train.steps": "2", "train.epochs": "0.01", "schedule.second_pass_epochs": "0.004"}  # not twice as long
SHORTEST = tuple(
    f"--set={text}"
    for text in ("train.steps=1", "train.epochs=none", "train.select=last", "data.validation_split=none")
)
GROUPS = ("model", "data", "optimizer", "schedule", "train", "init")


def other(value, hint, path):
    """A value, as typed, that differs from a field's own."""
    if path in SHORT:
        return SHORT[path]
    if choices := overrides._choices(hint):
        return next((choice for choice in choices if choice != str(value)), None)
    if isinstance(value, bool):
        return str(not value).lower()
    if isinstance(value, (int, float)):
        return str(2 * value if value else 1)
    if isinstance(value, tuple):
        return overrides.show(tuple("nope" if isinstance(item, str) else 2 * item or 1 for item in value) or (1,))
    if value is None:
        return "nope" if str in typing.get_args(hint) else "1"
    return "nope"


def cases():
    """Every field of every class of group, with an experiment that has it: (experiment, "path=value")."""
    seen = {}
    for name in catalog.names():
        experiment = catalog.get(name)
        for group in GROUPS:
            fields = getattr(experiment, group)
            if fields is None:
                continue
            hints = typing.get_type_hints(type(fields))
            for field in dataclasses.fields(fields):
                path = f"{group}.{field.name}"
                text = other(getattr(fields, field.name), hints[field.name], path)
                if text is not None and overrides._is_settable(hints[field.name]):
                    seen.setdefault((type(fields).__name__, field.name), (name, f"{path}={text}"))
    return list(seen.values())


CASES = cases()


@pytest.mark.parametrize(
    "name",
    [
        name if name in {case[0] for case in CASES} else pytest.param(name, marks=pytest.mark.slow)
        for name in catalog.names()
    ],
)
def test_a_changed_field_gives_a_recipe_or_one_line(name):
    for variant in ("paper", "sample", "synthetic"):
        experiment = catalog.variant(catalog.get(name), variant)
        for path, hint in overrides._fields(overrides._classes(experiment)).items():
            group, _, field = path.partition(".")
            text = other(getattr(getattr(experiment, group), field), hint, path)
            if text is None or not overrides._is_settable(hint):
                continue
            try:
                changed = overrides.apply(experiment, overrides.parse([f"{path}={text}"], experiment).items())
            except UserError as error:
                assert "\n" not in str(error) and str(error)
            else:
                assert overrides.difference(overrides.flatten(experiment), overrides.flatten(changed))


@pytest.mark.parametrize(
    ("name", "text"),
    [case if case in ALWAYS else pytest.param(*case, marks=pytest.mark.slow) for case in CASES],
)
def test_a_changed_field_gives_a_run_or_one_line(name, text, tmp_path, capsys):
    small, *_ = SMALL[catalog.get(name).task]
    own = {path.partition("=")[0] for path in (text, f"--set={text}")}
    settings = [
        setting for setting in (*small(name), *SHORTEST) if setting.removeprefix("--set=").partition("=")[0] not in own
    ]
    arguments = [
        f"--experiment={name}",
        "--data=synthetic",
        "--strategy=one_device",
        "--devices=cpu:0",
        "--quiet",
        f"--model_dir={tmp_path}",
        *settings,
        f"--set={text}",
    ]
    status = main(["main", *arguments])
    errors = capsys.readouterr().err
    keras.backend.clear_session()
    assert status in (0, 2), errors
    if status == 2:
        assert len(errors.strip().splitlines()) == 1, errors


@pytest.mark.parametrize(
    "name",
    [
        "resnet20_cifar10",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("sha_rnn_enwik8", "dd_cnn5_cifar10", "dd_transformer_iwslt14", "dd_two_layer_linear")
        ),
    ],
)
@pytest.mark.parametrize("schedule", ["cosine", pytest.param("constant", marks=pytest.mark.slow)])
def test_another_optimizer_and_schedule_train_every_kind_of_problem(name, schedule, tmp_path):
    small, *_ = SMALL[catalog.get(name).task]
    arguments = [
        f"--experiment={name}",
        "--data=synthetic",
        "--strategy=one_device",
        "--devices=cpu:0",
        "--quiet",
        f"--model_dir={tmp_path}",
        *small(name),
        "--set=train.steps=2",
        "--set=train.select=last",
        "--set=train.epochs=none",
        "--set=data.validation_split=none",
        "--noexport",
        "--set=optimizer=adam",
        "--set=optimizer.beta_1=0.8",
        f"--set=schedule={schedule}",
        "--set=schedule.lr=0.001",
    ]
    assert main(["main", *arguments]) == 0
    config = json.loads((tmp_path / "config.json").read_text())["recipe"]
    assert (config["optimizer"], config["schedule"], config["optimizer.beta_1"]) == ("adam", schedule, 0.8)

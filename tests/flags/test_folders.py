"""What `config.json` of a run says, also of a run of an older version."""

import json

import pytest

from flags import catalog, folders, overrides, run

CONFIG = {"experiment": "effnet_b0", "overrides": ["train.steps=10"], "seed": 4, "data": "synthetic", "recipe": {}}
OWN = overrides.flatten(catalog.get("effnet_b0"))


def _differences(recipe, **config):
    return folders.differences({"recipe": recipe, "seed": 0, **config}, {"seed": 0}, OWN, OWN)


def test_a_folder_becomes_the_run_that_the_command_line_gets(empty_folder):
    (empty_folder / "config.json").write_text(json.dumps(CONFIG))
    found = run.Run.of_folder(empty_folder, "evaluate", split="train")
    assert found == run.parse(["x", "--mode=evaluate", f"--model_dir={empty_folder}", "--split=train"])
    assert (found.seed, found.recipe_for("synthetic").train.steps) == (4, 10)


def test_a_new_field_has_the_experiments_own_value_in_an_old_file():
    assert _differences({path: value for path, value in OWN.items() if path != "optimizer"}) == []


@pytest.mark.parametrize(("path", "default"), folders.RETIRED.items())
def test_a_field_that_is_gone_is_named_unless_it_holds_its_default(path, default):
    own = {other: value for other, value in OWN.items() if other != path}
    old, settings = {"recipe": {**own, path: default}}, {}
    assert folders.differences(old, settings, own, own) == []
    old["recipe"][path] = 7
    assert folders.differences(old, settings, own, own) == [f"{path}: 7 -> (no such field)"]


def test_weights_of_an_old_file_are_those_of_the_recipe():
    old = {path: value for path, value in OWN.items() if not path.startswith("init.")}
    assert _differences(old, init_from=None) == []
    assert _differences(old, init_from="w.keras") == ["init.path: w.keras -> none"]

"""The examples of docs/extending.md work as they are printed."""

import json
import pathlib
import re
import sys
import types

import pytest

import tf_models
from flags import catalog
from tf_models import registry
from trainers.main import main

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.fixture(scope="module")
def modules():
    """The page's modules, imported: a block that begins with a comment is the file that the comment names."""
    loaded = {}
    for path, code in re.findall(r"```python\n# (\S+)\.py\n(.*?)```", PAGE.read_text(), re.DOTALL):
        module = types.ModuleType(path.replace("/", "."))
        sys.modules[module.__name__] = module
        exec(compile(code, f"{path}.py", "exec"), module.__dict__)
        loaded[module.__name__] = module
    yield loaded
    for name in loaded:
        del sys.modules[name]
    del registry._builders["lenet5"], catalog._recipes["lenet5_digits"], catalog._modules["lenet5_digits"]


def test_the_page_has_a_network_and_an_experiment(modules):
    assert list(modules) == ["tf_models.lenet", "flags.papers.lenet"]


def test_the_network_is_built_by_its_name(modules):
    assert "lenet5" in tf_models.list_models()
    assert tf_models.build_model("lenet5").output_shape == (None, 10)


def test_the_experiment_trains(modules, tmp_path, digits_dir):
    arguments = [
        "--experiment=lenet5_digits",
        "--data=paper",
        f"--data_dir={digits_dir}",
        f"--model_dir={tmp_path}",
        "--strategy=one_device",
        "--devices=cpu:0",
        "--quiet",
        "--set=train.steps=60",
    ]
    assert main(["main", *arguments]) == 0
    assert json.loads((tmp_path / "results.json").read_text())["metrics"]["top1"] > 0.2

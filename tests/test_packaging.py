"""The package's metadata: what `pip install .` installs, and under which command."""

import importlib.metadata
from pathlib import Path

import pytest
import setuptools

tomllib = pytest.importorskip("tomllib")  # part of Python from 3.11 on

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("flags", "tf_models", "trainers")


def test_the_console_command_resolves_to_a_function():
    (target,) = PROJECT["project"]["scripts"].values()
    entry = importlib.metadata.EntryPoint(name="landmark-papers", value=target, group="console_scripts")
    assert callable(entry.load())


def test_every_folder_with_python_files_is_packaged():
    include = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    found = set(setuptools.find_packages(str(ROOT), include=include))
    folders = {file.parent.relative_to(ROOT) for package in PACKAGES for file in (ROOT / package).rglob("*.py")}
    assert found == {".".join(folder.parts) for folder in folders}


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_marked_as_typed(package):
    assert (ROOT / package / "py.typed").is_file()
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"][package]


def test_the_project_has_the_files_that_its_metadata_names():
    assert (ROOT / PROJECT["project"]["readme"]).is_file()
    assert all((ROOT / name).is_file() for name in PROJECT["tool"]["setuptools"]["dynamic"]["dependencies"]["file"])

"""The kinds of problem and the papers are named in their own folders, and nowhere else."""

import ast
import pathlib

import pytest

from flags import tasks
from flags.papers import MODULES

ROOT = pathlib.Path(__file__).parents[2]
# Where a kind or a paper may be named: the registries, the groups that kinds have, and their own folders.
OWN = (
    "flags/tasks.py",
    "flags/data.py",
    "flags/papers",
    "trainers/tasks/__init__.py",
    "trainers/tasks/images",
    "trainers/tasks/text",
    "trainers/tasks/translation",
    "trainers/tasks/regression",
    "trainers/figures/papers.py",
    "trainers/figures/resnet",
    "trainers/figures/sha_rnn",
    "trainers/figures/double_descent",
)
GROUPS = {"Images", "SmallImages", "Text", "Sentences", "LinearData"}
FOLDERS = ("trainers.tasks.images", "trainers.tasks.text", "trainers.tasks.translation", "trainers.tasks.regression")
PAPERS = (*(f"flags.papers.{name}" for name in MODULES), *(f"trainers.figures.{name}" for name in MODULES))
AUTHORS = ("Nakkiran", "Merity", "Tan & Le", "He, Zhang")


def files():
    for package in ("flags", "trainers"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            if not any(name == own or name.startswith(f"{own}/") for own in OWN):
                yield name


def docstrings(tree):
    """The string nodes that are documentation."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, owners) and node.body and isinstance(node.body[0], ast.Expr)
    }


def annotations(tree):
    """The nodes of type hints, which decide nothing."""
    hints = [getattr(node, "annotation", None) for node in ast.walk(tree)]
    hints += [getattr(node, "returns", None) for node in ast.walk(tree)]
    return {id(part) for hint in hints if hint is not None for part in ast.walk(hint)}


def named(path):
    """What a file says of kinds or papers, with line numbers."""
    tree = ast.parse((ROOT / path).read_text())
    documentation, hints = docstrings(tree), annotations(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            if node.value in tasks.TASKS or any(author in node.value for author in AUTHORS):
                yield node.lineno, node.value
        elif isinstance(node, ast.Name) and node.id in GROUPS and id(node) not in hints:
            yield node.lineno, node.id
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            yield from ((node.lineno, module) for module in modules if module.startswith((*FOLDERS, *PAPERS)))
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.startswith((*FOLDERS, *PAPERS)))


@pytest.mark.parametrize("path", files())
def test_no_file_outside_its_folder_names_a_kind_or_a_paper(path):
    assert list(named(path)) == []


def test_the_walk_finds_what_it_looks_for():
    assert any(value == "language_modelling" for _, value in named("flags/tasks.py"))
    assert any(value == "SmallImages" for _, value in named("trainers/tasks/images/in_memory.py"))
    assert any(MODULES[0] in value for _, value in named("trainers/figures/papers.py"))


def test_flags_and_networks_import_neither_each_other_nor_trainers():
    allowed = {"flags": {"flags"}, "tf_models": {"tf_models"}, "trainers": {"flags", "tf_models", "trainers"}}
    for package, others in allowed.items():
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                for module in modules:
                    top = module.partition(".")[0]
                    assert top not in allowed or top in others, f"{path}: imports {module}"


@pytest.mark.parametrize("package", ["flags", "tf_models", "trainers"])
def test_no_file_is_longer_than_400_lines(package):
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / package).rglob("*.py")}
    assert {str(path): count for path, count in lengths.items() if count > 400} == {}

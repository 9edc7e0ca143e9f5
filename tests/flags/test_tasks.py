"""The records of tasks and metrics, and that nothing else in `flags` names a kind of problem."""

import ast
import pathlib

import pytest

from flags import catalog, metrics, tasks

FLAGS = pathlib.Path(tasks.__file__).parent
OWN = ("tasks.py", "data.py", "training.py")  # beside the papers: records and groups of the kinds


def _named_kinds(source: str) -> list[int]:
    """Lines that compare with a task's name, or test whether something is of a class that `flags.data` defines."""
    defined = {node.name for node in ast.parse((FLAGS / "data.py").read_text()).body if isinstance(node, ast.ClassDef)}
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            parts = [part for side in (node.left, *node.comparators) for part in ast.walk(side)]
            if any(isinstance(part, ast.Constant) and part.value in tasks.TASKS for part in parts):
                found.append(node.lineno)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
            names = {getattr(part, "id", getattr(part, "attr", "")) for part in ast.walk(node.args[1])}
            if names & defined:
                found.append(node.lineno)
    return found


@pytest.mark.parametrize("path", sorted(FLAGS.glob("*.py")), ids=lambda path: path.name)
def test_no_module_outside_the_kinds_own_tests_for_a_kind(path):
    if path.name not in OWN:
        assert _named_kinds(path.read_text()) == []


@pytest.mark.parametrize("source", ["task == 'translation'", "task in ('regression', 'x')", "isinstance(x, Data)"])
def test_the_walk_finds_what_it_looks_for(source):
    assert _named_kinds(source) == [1]


@pytest.mark.parametrize("name", catalog.names())
def test_every_experiment_has_a_registered_task(name):
    assert catalog.get(name).task in tasks.TASKS


@pytest.mark.parametrize("kind", tasks.TASKS.values(), ids=lambda kind: kind.name)
def test_every_headline_is_a_registered_metric(kind):
    assert metrics.get(kind.headline).name == kind.headline


@pytest.mark.parametrize("registry", [tasks, metrics])
def test_an_unknown_name_gets_the_list(registry, mistake_of):
    known = tasks.TASKS if registry is tasks else metrics.METRICS
    assert mistake_of(registry.get, "nothing").endswith(f"{', '.join(known)}.")


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="'regression' is registered already"):
        tasks.register(tasks.get("regression"))
    with pytest.raises(ValueError, match="'top1' is registered already"):
        metrics.register(metrics.get("top1"))


@pytest.mark.parametrize(
    ("name", "value", "text"), [("top1", 0.76321, "76.32%"), ("bpc", 1.06789, "1.068"), ("bleu", 27.34, "27.3")]
)
def test_a_value_is_written_with_the_metrics_digits(name, value, text):
    assert metrics.get(name).format(value) == text

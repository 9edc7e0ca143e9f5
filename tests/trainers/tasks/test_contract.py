"""Every task keeps the contract, and Python refuses one that lacks a member."""

import pytest

import trainers.tasks
from flags import catalog, metrics, tasks
from trainers.tasks.evaluation import Evaluation
from trainers.tasks.saved_model import SavedModel
from trainers.tasks.task import Task

OF_EACH_TASK = {experiment.task: experiment for group in catalog.by_paper().values() for experiment in group}


def test_both_registries_know_the_same_tasks():
    assert set(trainers.tasks._CLASSES) == set(tasks.TASKS) == set(OF_EACH_TASK)


@pytest.mark.parametrize("name", OF_EACH_TASK)
def test_the_class_of_a_task_is_complete(name):
    found = trainers.tasks.task_class(OF_EACH_TASK[name])
    assert issubclass(found, Task) and not found.__abstractmethods__
    assert metrics.get(found.monitor).name == found.monitor
    assert found.is_closed_form == tasks.get(name).is_closed_form


@pytest.mark.parametrize("contract", [Task, Evaluation, SavedModel])
def test_a_class_without_the_members_cannot_be_made(contract):
    with pytest.raises(TypeError, match="abstract"):
        type("Incomplete", (contract,), {})(*[] if contract is Task else [None] * 3)


def test_a_place_is_taken_once():
    with pytest.raises(ValueError, match="'translation' is registered already"):
        trainers.tasks.register("translation", "elsewhere:Translation")

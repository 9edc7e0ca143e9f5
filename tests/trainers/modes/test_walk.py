"""From the command line to the first step a run finds out everything once."""

from flags import run as run_flags
from trainers.data import sources
from trainers.modes.train import train
from trainers.tasks.images.in_memory import InMemoryClassification


def counting(function, calls):
    def counted(*args, **kwargs):
        calls.append(args)
        return function(*args, **kwargs)

    return counted


def test_a_run_resolves_its_recipe_finds_its_data_and_opens_its_task_once(tmp_path, digits_dir, monkeypatch):
    resolved, found, opened = [], [], []
    monkeypatch.setattr(run_flags, "resolve", counting(run_flags.resolve, resolved))
    monkeypatch.setattr(sources, "find_builder", counting(sources.find_builder, found))
    monkeypatch.setattr(InMemoryClassification, "__init__", counting(InMemoryClassification.__init__, opened))
    run = run_flags.parse(
        [
            "main",
            "--experiment=dd_mlp_mnist",
            "--data=sample",
            f"--data_dir={digits_dir}",
            f"--model_dir={tmp_path / 'run'}",
            "--strategy=one_device",
            "--devices=cpu:0",
            "--noexport",
            "--quiet",
            "--set=model.k=1",
            "--set=train.steps=2",
            "--set=data.num_train=50",
            "--set=train.global_batch=50",
        ]
    )
    train(run)
    assert (len(resolved), len(found), len(opened)) == (1, 1, 1)

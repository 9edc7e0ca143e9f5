"""Whole runs on images in memory: training error by both labels, log-spaced measurements, what a run leaves."""

import gc
import json
import weakref

import keras
import numpy as np
import pytest

from flags.run import parse
from tests.trainers.opening import open_images
from trainers.data import in_memory
from trainers.main import main
from trainers.session import open_session

ON_CPU = ["--strategy=one_device", "--devices=cpu:0", "--data=sample", "--quiet"]
SMALL = [
    "--set=train.steps=12", "--set=data.num_train=100", "--set=train.global_batch=40",
    "--set=data.test_split=test[:60]",
    "--set=data.validation_split=test[:60]", "--set=train.evals_per_decade=2", "--set=data.label_noise=0.3",
    "--set=train.eval_batch=32",
]  # fmt: skip


def arguments(folder, digits_dir, *more, experiment="dd_mlp_mnist"):
    small = [f"--experiment={experiment}", f"--model_dir={folder}", f"--data_dir={digits_dir}"]
    return ["main", *ON_CPU, *small, *SMALL, "--set=model.k=5", *more]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, digits_dir):
    folder = tmp_path_factory.mktemp("held") / "run"
    assert main(arguments(folder, digits_dir)) == 0
    return folder


def rows(folder, split):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if line["split"] == split}


def test_fit_and_test_are_measured_at_log_spaced_steps_and_at_the_end(finished):
    assert list(rows(finished, "fit")) == list(rows(finished, "eval")) == [1, 3, 10, 12]


def test_the_running_average_has_another_name_than_the_fit(finished):
    # Of the training batches, in training mode: never shown as the training error.
    assert "top1_clean" not in rows(finished, "train")[12]
    assert {"top1", "top1_clean", "loss"} <= set(rows(finished, "fit")[12])


def test_the_fit_of_the_results_is_that_of_the_last_step(finished):
    results = json.loads((finished / "results.json").read_text())
    last = rows(finished, "fit")[12]
    assert results["fit"] == pytest.approx(
        {name: last[name] for name in results["fit"] if name != "examples"} | {"examples": 100}
    )


def test_the_labels_that_were_trained_on_are_kept(finished):
    labels, results = np.load(finished / "labels.npz"), json.loads((finished / "results.json").read_text())
    wrong = int((labels["labels"] != labels["true_labels"]).sum())
    assert results["label_noise"] == {"corrupted": wrong, "examples": 100}
    assert 15 < wrong < 45


def test_the_classes_found_on_the_test_split_are_kept_and_scored_by_clean_labels(finished, digits_dir):
    from trainers.data import stream

    split = open_images("digits", digits_dir).split("test[:60]")
    labels = np.array([int(example["label"]) for example in stream.examples(split)])
    kept = np.load(finished / "predictions.npz")
    classes = kept["classes"]
    assert np.array_equal(kept["labels"], labels)
    results = json.loads((finished / "results.json").read_text())
    assert (classes == labels).mean() == pytest.approx(results["metrics"]["top1"])


def test_evaluate_finds_what_the_run_found(finished, digits_dir, capsys):
    assert main(["main", "--mode=evaluate", f"--model_dir={finished}", f"--data_dir={digits_dir}", "--json",
                 "--strategy=one_device", "--devices=cpu:0"]) == 0  # fmt: skip
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    results = json.loads((finished / "results.json").read_text())
    assert metrics["top1"] == pytest.approx(results["metrics"]["top1"])


def test_two_replicas_train_as_one_does(finished, digits_dir, tmp_path, two_replicas):
    from flags import run
    from trainers.modes.train import Training
    from trainers.run.signals import StopSignals
    from trainers.session import open_session

    keras.utils.set_random_seed(0)  # which the devices of the other run were set up with
    session = open_session(run.parse(arguments(tmp_path / "two", digits_dir)), strategy=two_replicas)
    with session.folder.locked(), StopSignals() as signals:
        Training(session, signals).run()
    one, two = rows(finished, "fit"), rows(tmp_path / "two", "fit")
    assert two[12]["loss"] == pytest.approx(one[12]["loss"], rel=1e-4)


@pytest.mark.parametrize(
    "setting, message",
    [
        ("data.num_train=5000", "data.num_train=5000: data.train_split=train of digits has 4,000 examples"),
        ("data.label_noise=1.5", "data.label_noise=1.5: must lie in [0, 1]"),
        ("train.micro_batches=2", "--set=train.micro_batches=2: no such field."),
        ("data.augment=autoaugment_v0", "data.augment=autoaugment_v0: in-memory images can only be shifted"),
        ("data.test_protocol=ten_crop", "data.test_protocol=ten_crop: in-memory images are tested whole"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(setting, message, digits_dir, tmp_path, capsys):
    assert main(arguments(tmp_path, digits_dir, f"--set={setting}")) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith(message) or message in capsys.readouterr().err


def test_an_evaluation_ends_with_its_run(digits_dir, tmp_path):
    """Whatever it kept: a process of a sweep has many."""
    session = open_session(parse(arguments(tmp_path, digits_dir)))
    model = session.task.build_model()
    evaluation = session.task.evaluation(session.task.test_protocol, session.strategy, model)
    assert evaluation.run("test[:60]") == evaluation.run("test[:60]")
    kept = weakref.ref(evaluation), weakref.ref(model)
    del evaluation, model
    gc.collect()
    assert [reference() for reference in kept] == [None, None]


def test_the_runs_of_a_process_decode_their_images_once(digits_dir, tmp_path):
    def decoded(*changes):
        session = open_session(parse(arguments(tmp_path, digits_dir, *changes)))
        return in_memory.decoded(
            session.task.dataset.split("train"), session.recipe.data, session.recipe.model.resolution
        )

    once = decoded()
    assert decoded("--set=data.label_noise=0.1", "--set=data.num_train=7") is once
    smaller = decoded("--set=model.resolution=14")
    assert smaller.images.shape[1:3] == (14, 14) and once.images.shape[1:3] == (28, 28)
    with pytest.raises(ValueError, match="read-only"):
        once.labels[0] = 1

"""Least squares against its definition, and whole runs that solve for a head in place of training it."""

import dataclasses
import json

import numpy as np
import pytest

import tf_models
from flags.data import SmallImages
from tests.trainers.opening import open_images
from tf_models.random_features import FEATURES, HEAD
from trainers.loop.closed_form import minimum_norm, solve_head
from trainers.main import main

ON_CPU = ["--strategy=one_device", "--devices=cpu:0"]
N = 60


def system(examples, width, kind=float, seed=0):
    draws = np.random.default_rng(seed).standard_normal((2, examples, width))
    features = draws[0] + 1j * draws[1] if kind is complex else draws[0]
    return features, np.random.default_rng(seed + 1).standard_normal((examples, 3))


# The solver

SHAPES = [(12, 5), (12, 12), (12, 40)]


@pytest.mark.parametrize("kind", [float, complex])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_solution_is_the_pseudo_inverses(shape, kind):
    features, targets = system(*shape, kind)
    np.testing.assert_allclose(minimum_norm(features, targets), np.linalg.pinv(features) @ targets, atol=1e-10)


def test_no_other_solution_has_a_smaller_norm():
    features, targets = system(12, 40)
    weights = minimum_norm(features, targets)
    project = np.eye(40) - np.linalg.pinv(features) @ features  # onto what the features do not see
    for seed in range(5):
        other = weights + project @ np.random.default_rng(seed).standard_normal(weights.shape)
        np.testing.assert_allclose(features @ other, targets, atol=1e-10)
        assert np.linalg.norm(other) > np.linalg.norm(weights)


@pytest.mark.parametrize("kind", [float, complex])
@pytest.mark.parametrize("shape", SHAPES)
def test_with_a_ridge_it_is_the_closed_form(shape, kind):
    features, targets = system(*shape, kind)
    gram = features.conj().T @ features + 0.7 * np.eye(shape[1])
    expected = np.linalg.solve(gram, features.conj().T @ targets)
    np.testing.assert_allclose(minimum_norm(features, targets, ridge=0.7), expected, atol=1e-12)


def test_features_that_repeat_each_other_share_a_weight():
    features, targets = system(12, 4)
    twice = minimum_norm(np.hstack([features, features]), targets)
    np.testing.assert_allclose(twice[:4], twice[4:], atol=1e-12)
    np.testing.assert_allclose(2 * twice[:4], minimum_norm(features, targets), atol=1e-12)


# The threshold


def fit(kind, num_features):
    """Squared error, an example, of a solved `random_features` on N random images with random labels."""
    draws = np.random.default_rng(0)
    images, labels = draws.uniform(0, 1, (N, 8, 8, 1)), draws.integers(0, 10, N)
    model = tf_models.build_model("random_features", input_shape=(8, 8, 1), num_features=num_features, kind=kind)
    solve_head(model, np.split(images, 3), labels)
    return float(np.sum((model(images).numpy() - np.eye(10)[labels]) ** 2) / N)


@pytest.mark.parametrize("kind", ["complex", "cosine"])
def test_examples_are_fitted_exactly_from_as_many_features_as_examples_on(kind):
    assert fit(kind, N - 1) > 1e-6
    assert fit(kind, N) < 1e-12
    assert fit(kind, 3 * N) < 1e-16


def test_features_that_are_zero_on_many_examples_fit_exactly_only_later():
    assert fit("relu", N) > 1e-6
    assert fit("relu", 3 * N) < 1e-16


# Whole runs


def arguments(folder, digits_dir, *more):
    return [
        "main", "--experiment=dd_random_features_fashion_mnist", "--data=sample", f"--model_dir={folder}", *ON_CPU,
        f"--data_dir={digits_dir}", "--quiet", "--set=data.num_train=150", "--set=model.num_features=60",
        "--set=data.label_noise=0.2", "--set=data.test_split=train[:200]", "--set=data.validation_split=train[:200]",
        *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory, digits_dir):
    folder = tmp_path_factory.mktemp("least_squares") / "run"
    assert main(arguments(folder, digits_dir)) == 0
    return folder


def results_of(folder):
    return json.loads((folder / "results.json").read_text())


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_what_other_runs_leave(finished):
    names = {path.name for path in finished.iterdir()}
    assert {"config.json", "metrics.jsonl", "results.json", "labels.npz", "predictions.npz", "model.keras"} <= names
    results = results_of(finished)
    assert results["steps"] == results["selected_step"] == 1
    assert results["metrics"]["examples"] == 200
    assert {"squared_error", "top1", "top1_clean"} <= set(results["fit"])


def test_fit_and_test_are_logged_at_the_one_step(finished):
    fit, test = rows(finished)
    assert (fit["step"], fit["split"], test["step"], test["split"]) == (1, "fit", 1, "eval")
    results = results_of(finished)
    for name in ("squared_error", "top1"):
        assert fit[name] == pytest.approx(results["fit"][name])
        assert test[name] == pytest.approx(results["metrics"][name])


def test_the_numbers_are_those_of_numpy(finished, digits_dir):
    import keras

    from trainers.data import in_memory

    dataset = open_images("digits", digits_dir)
    data = SmallImages(
        name="digits", train_split="", validation_split=None, test_split="", channels=1, mean=(0.0,), stddev=(1.0,),
        crop_padding=0,
    )  # fmt: skip
    pool, test = (in_memory.decoded(dataset.split(split), data, 28) for split in ("test", "train[:200]"))
    kept = np.load(finished / "labels.npz")
    frequencies = keras.saving.load_model(finished / "model.keras").get_layer(FEATURES).frequencies.numpy()

    def features(images):
        pixels = (images.reshape(len(images), -1).astype(np.float64) - 127.5) / 127.5
        return np.exp(-1j * pixels @ frequencies.astype(np.float64))

    weights = np.linalg.pinv(features(pool.images[kept["index"]])) @ np.eye(10)[kept["labels"]]
    results = results_of(finished)
    for images, labels, name in (
        (test.images, test.labels, "metrics"),
        (pool.images[kept["index"]], kept["labels"], "fit"),
    ):
        scores = (features(images) @ weights).real
        error = np.sum((scores - np.eye(10)[labels]) ** 2, axis=1).mean()
        assert results[name]["squared_error"] == pytest.approx(error, rel=1e-6)
        assert results[name]["top1"] == pytest.approx((scores.argmax(axis=1) == labels).mean())


def test_evaluate_finds_what_the_run_found(finished, digits_dir, capsys):
    given = ["main", "--mode=evaluate", f"--model_dir={finished}", f"--data_dir={digits_dir}", "--json", *ON_CPU]
    assert main(given) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == results_of(finished)["metrics"]


def test_the_exported_model_finds_the_classes_that_the_run_found(finished, digits_dir):
    import tensorflow as tf

    from trainers.data import stream

    split = open_images("digits", digits_dir).split("train[:200]")
    images = tf.stack([example["image"] for example in stream.examples(split)])
    answers = tf.saved_model.load(str(finished / "saved_model")).signatures["serving_default"](images=images)
    assert answers["probabilities"].dtype == tf.float32
    assert np.array_equal(answers["class_ids"][:, 0].numpy(), np.load(finished / "predictions.npz")["classes"])


def test_a_finished_run_is_not_solved_again(finished, digits_dir, monkeypatch):
    monkeypatch.setattr("trainers.tasks.images.least_squares.solve_head", lambda *_: pytest.fail("solved again"))
    before, lines = results_of(finished), rows(finished)
    assert main(arguments(finished, digits_dir)) == 0
    assert results_of(finished) == before
    assert rows(finished) == lines


def test_the_runs_seed_draws_the_features_unless_they_have_their_own(digits_dir, tmp_path):
    import keras

    def kernel(*flags):
        folder = tmp_path / "-".join(flags)
        assert main(arguments(folder, digits_dir, *flags)) == 0
        return keras.saving.load_model(folder / "model.keras").get_layer(FEATURES).frequencies.numpy()

    one, two = kernel("--seed=1"), kernel("--seed=2", "--set=model.feature_seed=1")
    assert np.array_equal(one, two)


def test_a_ridge_shrinks_the_solution(finished, digits_dir, tmp_path):
    import keras

    assert main(arguments(tmp_path / "ridge", digits_dir, "--set=optimizer.weight_decay=10")) == 0
    norms = [
        np.linalg.norm(keras.saving.load_model(folder / "model.keras").get_layer(HEAD).kernel.numpy())
        for folder in (finished, tmp_path / "ridge")
    ]
    assert norms[1] < norms[0]


def test_two_replicas_measure_what_one_does(finished, digits_dir, tmp_path, two_replicas):
    from flags import run
    from trainers.modes.train import Training
    from trainers.run.signals import StopSignals
    from trainers.session import open_session

    session = open_session(run.parse(arguments(tmp_path / "two", digits_dir)), strategy=two_replicas)
    with session.folder.locked(), StopSignals() as signals:
        Training(session, signals).run()
    one, two = results_of(finished)["metrics"], results_of(tmp_path / "two")["metrics"]
    assert two == pytest.approx(one, rel=1e-6)


@pytest.mark.parametrize(
    "setting, message",
    [
        ("train.steps=2", "train.steps=2: the weights are solved for in one step. Set 1."),
        ("data.flip=true", "data.flip=true: the head is solved in one step"),
        ("train.ema_decay=0.9", "train.ema_decay=0.9: the weights are solved for in one step"),
        ("model.num_features=0", "model.num_features=0: must be 1 or more"),
        ("model.scale=pixels", "--set=model.scale=pixels: must be one of input_dim, num_features, or a number"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(setting, message, digits_dir, tmp_path, capsys):
    assert main(arguments(tmp_path, digits_dir, f"--set={setting}")) == 2
    assert capsys.readouterr().err.strip().startswith(message)


def test_what_takes_no_steps_is_not_benchmarked(capsys):
    assert main(["main", "--mode=benchmark", "--experiment=dd_random_features_mnist", "--data=sample"]) == 2
    assert "--mode=benchmark: dd_random_features_mnist solves for its head" in capsys.readouterr().err


def test_held_out_images_are_no_training_images():
    from flags import catalog

    sample = catalog.variant(catalog.get("dd_random_features_fashion_mnist"), "sample")
    assert (sample.data.train_split, sample.data.test_split, sample.data.validation_split) == ("test", "train", "train")
    assert dataclasses.replace(sample.data, num_train=1_000) == sample.data

"""Linear data by its definition, rates that differ by layer, and a whole run of a network of two layers."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_models
from flags import catalog
from flags.data import LinearData
from flags.errors import UserError
from trainers.main import main
from trainers.optimizers.layerwise import FusedLayerwiseSGD
from trainers.tasks.regression.data import LinearDataSet

ON_CPU = ["--strategy=one_device", "--devices=cpu:0"]


def dataset(num_train=200, seed=0, **fields):
    recipe = {"dimension": 5, "num_test": 4000, "smallest_scale": 1.0, "largest_scale": 16.0, **fields}
    return LinearDataSet(LinearData(num_train=num_train, **recipe), seed=seed)


# Data


def test_targets_are_linear_in_the_inputs():
    train, test = (dataset().split(name) for name in ("train", "test"))
    coefficients, *_ = np.linalg.lstsq(train.inputs, train.targets, rcond=None)
    np.testing.assert_allclose(test.inputs @ coefficients, test.targets, atol=1e-3)


def test_scales_go_up_in_equal_ratios():
    scales = dataset().split("test").inputs.std(axis=0)
    np.testing.assert_allclose(scales, [1, 2, 4, 8, 16], rtol=0.05)


def test_noise_is_in_the_training_targets_alone():
    clean, noisy = dataset(num_train=4000), dataset(num_train=4000, noise=3.0)
    differences = noisy.split("train").targets - clean.split("train").targets
    assert differences.std() == pytest.approx(3.0, rel=0.05)
    assert np.array_equal(noisy.split("test").targets, clean.split("test").targets)


def test_a_smaller_training_set_is_part_of_a_larger_one():
    few, many = (dataset(count, noise=1.0).split("train") for count in (20, 50))
    assert np.array_equal(few.inputs, many.inputs[:20])
    assert np.array_equal(few.targets, many.targets[:20])


def test_the_runs_seed_draws_the_data_unless_they_have_their_own():
    one, two, other = dataset(seed=3), dataset(seed=4, data_seed=3), dataset(seed=4)
    assert np.array_equal(one.split("train").inputs, two.split("train").inputs)
    assert not np.allclose(one.split("train").inputs, other.split("train").inputs)


def test_there_is_no_other_split():
    with pytest.raises(UserError, match="split 'validation' of linear_data: no such split. Splits: train, test."):
        dataset().split("validation")


# Network and optimizer


def test_initial_weights_have_the_spread_of_the_authors_code():
    keras.utils.set_random_seed(0)
    model = tf_models.build_model("two_layer", inputs=200, hidden=2000, hidden_scale=0.5, output_scale=2.0)
    hidden, hidden_bias, output, output_bias = (weight.numpy() for weight in model.weights)
    assert hidden.std() == pytest.approx(0.5 / np.sqrt(600), rel=0.01)
    assert np.abs(output).max() == pytest.approx(2 / np.sqrt(2000), rel=0.01)
    assert np.abs(hidden_bias).max() == pytest.approx(1 / np.sqrt(200), rel=0.01)
    assert 0 < np.abs(output_bias).max() <= 1 / np.sqrt(2000)


def test_a_layers_weights_move_by_its_factor():
    model = tf_models.build_model("two_layer", inputs=3, hidden=4)
    optimizer = FusedLayerwiseSGD((0.25, 2.0), learning_rate=0.1)
    optimizer.build(model.trainable_variables)
    before = model.get_weights()
    for variable in model.trainable_variables:
        optimizer.update_step(tf.ones(variable.shape), variable, 0.1)
    moved = [np.mean(old - new) for old, new in zip(before, model.get_weights())]
    np.testing.assert_allclose(moved, [0.025, 0.025, 0.2, 0.2], rtol=1e-5)


# Whole runs

SMALL = [
    "--set=train.steps=30", "--set=data.num_train=40", "--set=train.global_batch=40", "--set=data.num_test=50",
    "--set=train.evals_per_decade=2",
]  # fmt: skip


def arguments(folder, *more):
    return ["main", "--experiment=dd_two_layer_linear", f"--model_dir={folder}", *ON_CPU, "--quiet", *SMALL, *more]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regression") / "run"
    assert main(arguments(folder)) == 0
    return folder


def rows(folder, split):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if line["split"] == split}


def test_fit_and_test_are_measured_at_log_spaced_steps_and_at_the_end(finished):
    assert list(rows(finished, "fit")) == list(rows(finished, "eval")) == [1, 3, 10, 30]


def test_a_run_is_gradient_descent_on_all_examples(finished):
    # The first step by NumPy, from the weights of the same seed.
    keras.utils.set_random_seed(0)
    recipe = catalog.get("dd_two_layer_linear")
    model = tf_models.build_model("two_layer", inputs=50, **recipe.model.options())
    data = LinearData(dimension=50, num_train=40, num_test=50, smallest_scale=1.0, largest_scale=4.0)
    lr = recipe.schedule.lr
    examples = LinearDataSet(data, seed=0).split("train")
    w, b, v, c = (weight.astype(np.float64) for weight in model.get_weights())
    x, y = examples.inputs.astype(np.float64), examples.targets
    hidden = np.maximum(x @ w + b, 0)
    error = 2 * (hidden @ v + c - y) / 40
    back = error @ v.T * (hidden > 0)
    w, b, v, c = w - lr * x.T @ back, b - lr * back.sum(0), v - lr * hidden.T @ error, c - lr * error.sum(0)
    after = np.mean((np.maximum(x @ w + b, 0) @ v + c - y) ** 2)
    assert rows(finished, "fit")[1]["squared_error"] == pytest.approx(after, rel=1e-4)


def test_evaluate_finds_what_the_run_found(finished, capsys):
    assert main(["main", "--mode=evaluate", f"--model_dir={finished}", "--json", *ON_CPU]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert metrics == pytest.approx(json.loads((finished / "results.json").read_text())["metrics"])


def test_the_exported_model_gives_the_same_numbers(finished):
    inputs = tf.constant(np.random.default_rng(0).standard_normal((3, 50)), tf.float32)
    exported = tf.saved_model.load(str(finished / "saved_model"))
    live = keras.saving.load_model(finished / "model.keras")
    np.testing.assert_allclose(exported.serve(inputs), live(inputs), rtol=1e-5)


def test_two_replicas_train_as_one_does(finished, tmp_path, two_replicas):
    from flags import run
    from trainers.modes.train import Training
    from trainers.run.signals import StopSignals
    from trainers.session import open_session

    keras.utils.set_random_seed(0)  # as a session does that makes its own strategy
    session = open_session(run.parse(arguments(tmp_path)), strategy=two_replicas)
    with StopSignals() as signals:
        Training(session, signals).run()
    one, two = rows(finished, "fit"), rows(tmp_path, "fit")
    assert two[30]["squared_error"] == pytest.approx(one[30]["squared_error"], rel=1e-3)


@pytest.mark.parametrize(
    "setting, message",
    [
        ("data.num_train=80", "train.global_batch=40: every step takes all of data.num_train=80. Set both to the same"),
        ("train.micro_batches=2", "--set=train.micro_batches=2: no such field."),
        ("optimizer.factors=1,2,3", "optimizer.factors=1.0,2.0,3.0: must be 2 numbers, one for each layer: hidden"),
        ("data.smallest_scale=9", "data.smallest_scale=9.0: must not be above data.largest_scale=4.0"),
        ("model.hidden=0", "model.hidden=0: must be 1 or more"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(setting, message, tmp_path, capsys):
    assert main(arguments(tmp_path, f"--set={setting}")) == 2
    assert capsys.readouterr().err.strip().startswith(message)


# The curves of the recipes


def curve(folder, experiment, *settings):
    """Errors of training and of test [evaluations] of a run of seed 2."""
    settings = [f"--set={setting}" for setting in settings]
    flags = [f"--model_dir={folder}", "--seed=2", "--quiet", "--noexport", *settings]
    assert main(["main", f"--experiment={experiment}", *ON_CPU, *flags]) == 0
    return [np.array([row["squared_error"] for row in rows(folder, split).values()]) for split in ("fit", "eval")]


@pytest.mark.slow
@pytest.mark.parametrize("lr, steps", [(5e-5, 10_000), (2.5e-5, 20_000)])
def test_test_error_falls_rises_and_falls_lower_while_training_error_only_falls(lr, steps, tmp_path):
    # The rate does not make the rise: at half of it the curve is the same.
    fit, test = curve(tmp_path, "dd_two_layer_linear", f"schedule.lr={lr}", f"train.steps={steps}")
    top = np.argmax(test[10:]) + 10  # beyond the first descent
    assert np.all(np.diff(fit) < 0)
    assert test[:top].min() < 0.9 * test[top]
    assert test[top:].min() < 0.9 * test[:top].min()


@pytest.mark.slow
def test_with_the_hidden_layer_sped_up_test_error_only_falls(tmp_path):
    fit, test = curve(tmp_path, "dd_two_layer_linear_rescaled", "train.steps=1000")
    assert np.all(np.diff(fit) < 0)
    assert np.all(np.diff(test) < 0)

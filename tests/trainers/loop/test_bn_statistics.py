"""Exact batch-norm statistics against the moments of everything that the first norm saw."""

import json

import numpy as np
import pytest
import tensorflow as tf

from flags.run import parse
from trainers.loop.bn_statistics import exact_statistics
from trainers.main import main
from trainers.session import open_session

TINY = (
    "main", "--experiment=effnet_b0", "--data=sample", "--strategy=one_device", "--devices=cpu:0", "--quiet",
    "--set=model.width=0.1", "--set=model.depth=0.1", "--set=model.resolution=8", "--set=data.train_split=train[:60]",
    "--set=train.global_batch=20",
)  # fmt: skip


@pytest.fixture
def session(digits_dir):
    return open_session(parse([*TINY, f"--data_dir={digits_dir}", "--set=train.batch_norm_batch=10"]))


def first_norm_inputs(session, model):
    """What the stem's batch norm sees of an epoch: [positions, channels]."""
    batches = session.task.batches(0, tf.distribute.InputContext()).take(3)
    outputs = [model.get_layer("stem_conv")(session.task.normalise(batch["image"])) for batch in batches]
    return np.concatenate([np.reshape(x, [-1, x.shape[-1]]) for x in outputs]).astype("float64")


def test_statistics_are_those_of_all_training_images(session):
    state = session.build_state()
    seen = first_norm_inputs(session, state.model)
    norm = state.model.get_layer("stem_bn")
    with exact_statistics(session.task, session.strategy, state):
        np.testing.assert_allclose(norm.moving_mean.numpy(), seen.mean(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(norm.moving_variance.numpy(), seen.var(axis=0), rtol=1e-5)


def test_two_replicas_average_what_one_averages(session, digits_dir, two_replicas):
    """Ten examples a micro-batch: two of them on one device, one on each of two."""
    run = parse([*TINY, f"--data_dir={digits_dir}", "--set=train.batch_norm_batch=10"])
    mirrored = open_session(run, strategy=two_replicas)
    state, copy = session.build_state(), mirrored.build_state()
    copy.model.set_weights(state.model.get_weights())
    with (
        exact_statistics(session.task, session.strategy, state),
        exact_statistics(mirrored.task, two_replicas, copy),
    ):
        for one, two in zip(state.statistics, copy.statistics, strict=True):
            for value in two_replicas.experimental_local_results(two.value):
                np.testing.assert_allclose(value, one, rtol=1e-4, atol=1e-5)


def test_moving_statistics_come_back_afterwards(session):
    state = session.build_state()
    before = [v.numpy() for v in state.statistics]
    with exact_statistics(session.task, session.strategy, state):
        assert not all(np.array_equal(v.numpy(), b) for v, b in zip(state.statistics, before))
    assert all(np.array_equal(v.numpy(), b) for v, b in zip(state.statistics, before))
    assert state.model.get_layer("stem_bn").momentum == 0.99


def test_a_run_tests_with_both_and_keeps_the_exact_ones(digits_dir, tmp_path, capsys):
    arguments = [
        *TINY, f"--data_dir={digits_dir}", f"--model_dir={tmp_path}", "--set=train.steps=3",
        "--set=train.exact_bn_statistics=true", "--set=train.ema_decay=0", "--set=data.validation_split=none",
        "--set=data.test_split=test[:50]",
    ]  # fmt: skip
    assert main(arguments) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["metrics"]["loss"] != results["metrics_with_moving_statistics"]["loss"]
    capsys.readouterr()
    of_run = ["main", "--mode=evaluate", f"--model_dir={tmp_path}", f"--data_dir={digits_dir}", *TINY[3:5], "--json"]
    assert main(of_run) == 0
    evaluated = json.loads(capsys.readouterr().out)["metrics"]
    assert evaluated["loss"] == pytest.approx(results["metrics"]["loss"], rel=1e-5)

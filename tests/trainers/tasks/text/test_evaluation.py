"""A language model's loss on a text is exact, however the text is cut into segments and the lanes over replicas."""

import contextlib
import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from flags.run import parse
from tf_models.state import empty_state
from trainers.loop.stateful import StatefulModel
from trainers.session import open_session
from trainers.tasks.text import segments
from trainers.tasks.text.task import LanguageModelling

SPLIT, LANES, ROWS = "test[:205]", 4, 51  # one byte is left over
TINY = (
    "--experiment=sha_rnn_enwik8",
    "--data=synthetic",
    "--set=model.width=16",
    "--set=model.boom_width=32",
    "--set=model.num_layers=2",
    "--set=model.memory_size=64",  # longer than a lane
    "--set=data.segment_length=16",
    "--set=data.train_split=train[:3000]",
    "--set=data.validation_split=validation[:75]",
    "--set=data.validation_lanes=2",
    f"--set=data.test_split={SPLIT}",
    f"--set=data.test_lanes={LANES}",
)
CLOSE = 1e-5  # sums of float32 in another order


def open_tiny(strategy, *arguments):
    """A session, and its model with weights large enough to show what its state does."""
    session = open_session(parse(["main", *TINY, *arguments]), strategy=strategy)
    with strategy.scope():
        model = session.task.build_model()
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.3, w.shape) for w in model.weights])
    return session, model


def evaluation_of(session, model):
    return session.task.evaluation(session.task.test_protocol, session.strategy, model)


def one_device():
    return tf.distribute.OneDeviceStrategy("cpu:0")


@pytest.fixture(scope="module")
def attentive():
    return open_tiny(one_device(), "--set=model.attention_layers=0")


@pytest.fixture(scope="module")
def evaluation(attentive):
    return evaluation_of(*attentive)


@pytest.fixture(scope="module")
def metrics(evaluation):
    return evaluation.run(SPLIT)


def in_one_call(session, model):
    """The mean loss over a split whose lanes are read whole."""
    lanes = tf.cast(segments.lanes(session.task.dataset.tokens(SPLIT), LANES), tf.int32)
    outputs = model({"tokens": lanes[:, :-1], "state": empty_state(model, LANES)}, training=False)
    losses = keras.losses.sparse_categorical_crossentropy(lanes[:, 1:], outputs["logits"], from_logits=True)
    return float(tf.reduce_mean(losses))


def cut_into(session, length):
    """The same session with other segments."""
    data = dataclasses.replace(session.recipe.data, segment_length=length)
    recipe = dataclasses.replace(session.recipe, data=data)
    task = LanguageModelling(recipe, session.task.dataset, seed=session.task.seed)
    return dataclasses.replace(session, recipe=recipe, task=task)


def test_the_loss_is_that_of_one_long_call(attentive, metrics):
    assert metrics["loss"] == pytest.approx(in_one_call(*attentive), rel=CLOSE)
    assert metrics["bpc"] == pytest.approx(metrics["loss"] / math.log(2), rel=1e-9)


def test_every_symbol_but_the_first_of_a_lane_counts_once(metrics):
    assert (metrics["bytes"], metrics["lanes"]) == (LANES * (ROWS - 1), LANES)


def test_the_author_s_figure_divides_by_one_more_symbol_a_lane(metrics):
    assert metrics["bpc_author"] == pytest.approx(metrics["bpc"] * (ROWS - 1) / ROWS, rel=1e-9)


@pytest.mark.parametrize("length", [7, 1000])
def test_without_attention_the_length_of_segments_changes_nothing(length):
    session, model = open_tiny(one_device(), "--set=model.attention_layers=none")
    loss = evaluation_of(cut_into(session, length), model).run(SPLIT)["loss"]
    assert loss == pytest.approx(in_one_call(session, model), rel=CLOSE)


def test_two_replicas_find_what_one_finds(metrics, two_replicas):
    found = evaluation_of(*open_tiny(two_replicas, "--set=model.attention_layers=0")).run(SPLIT)
    assert found == pytest.approx(metrics, rel=CLOSE)


def test_the_same_weights_have_the_same_loss_again(evaluation, metrics):
    other = evaluation.run("validation[:75]")
    assert evaluation.run(SPLIT) == metrics
    assert evaluation.run("validation[:75]") == other


def test_a_split_is_cut_into_the_lanes_that_the_recipe_gives_it(evaluation):
    validation, training = evaluation.run("validation[:75]"), evaluation.run("train[:99]")
    assert (validation["bytes"], validation["lanes"]) == (2 * 36, 2)
    assert (training["bytes"], training["lanes"]) == (2 * 48, 2)


def test_the_state_in_training_is_left_alone(attentive, evaluation):
    session, model = attentive
    with session.strategy.scope():
        network = StatefulModel(session.strategy, model, LANES)
    network(tf.ones([LANES, 3], tf.int32), tf.ones([LANES], tf.bool), training=True)
    network.gather()
    before = {name: part.numpy() for name, part in network.variables().items()}
    assert before["block0_h"].any() and before["memory_rows"].all()
    evaluation.run(SPLIT)
    network.gather()
    for name, part in network.variables().items():
        np.testing.assert_array_equal(part.numpy(), before[name], err_msg=name)


@contextlib.contextmanager
def scaled(model, factor):
    """The model's weights times `factor`."""
    kept = model.get_weights()
    model.set_weights([factor * weight for weight in kept])
    yield
    model.set_weights(kept)


def test_weights_that_stand_in_the_model_for_the_test_are_tested(attentive, evaluation, metrics):
    loss = evaluation.run(SPLIT, scaled(attentive[1], 0.0))["loss"]
    assert loss == pytest.approx(math.log(256), rel=CLOSE)
    assert evaluation.run(SPLIT) == metrics


def test_weights_that_are_not_numbers_spoil_no_later_test(attentive, evaluation, metrics):
    assert math.isnan(evaluation.run(SPLIT, scaled(attentive[1], math.nan))["loss"])
    assert evaluation.run(SPLIT) == metrics


def test_a_split_is_compiled_once_and_its_short_last_segment_with_it(evaluation, metrics):
    evaluation.run(SPLIT)
    assert (ROWS - 1) % 16 > 0 and evaluation._prepared(SPLIT).loop._run.experimental_get_tracing_count() == 1

"""Language modelling in the loop: the steps that one would take by hand, alike on one replica and on two."""

import math
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from flags.run import parse
from tf_models.layers import noise
from tf_models.state import empty_state
from trainers.optimizers.lamb import LambMinTrust
from trainers.run.checkpoints import Checkpoints
from trainers.session import open_session
from trainers.tasks.text import segments
from trainers.tasks.text.data import declared_text, find
from trainers.tasks.text.task import LanguageModelling

LANES, STEPS, BROKEN_AT = 4, 12, 7  # epochs begin with steps 0, 5 and 9
TINY = (
    "--experiment=sha_rnn_enwik8",
    "--data=synthetic",
    "--set=model.width=16",
    "--set=model.boom_width=32",
    "--set=model.num_layers=1",
    "--set=model.attention_layers=0",
    "--set=model.memory_size=24",
    "--set=data.train_split=train[:242]",  # lanes of 60: epochs of four or five segments
    "--set=data.segment_length=16",
    "--set=schedule.warmup_steps=8",
    "--set=schedule.lr=0.01",
    f"--set=train.global_batch={LANES}",
    "--set=train.epochs=4",
)
# Sums over lanes and over replicas in another order, amplified by a dozen steps.
CLOSE = dict(rtol=1e-4, atol=1e-5)


def open_tiny(strategy, *arguments):
    keras.utils.set_random_seed(0)
    return open_session(parse(["main", *TINY, *arguments]), strategy=strategy)


def one_device():
    return tf.distribute.OneDeviceStrategy("cpu:0")


def everything(state):
    """All that a checkpoint would hold."""
    state.stateful.gather()
    return {name: variable.numpy() for name, variable in state.variables().items()}


def take_steps(session, loop, first, count):
    """The loop's numbers of `count` steps, each a call of its own."""
    iterator = iter(session.task.distributed_batches(session.strategy, first))
    return [loop.run(iterator, 1) for _ in range(count)]


def train(strategy, folder):
    """A loop that took STEPS steps; a checkpoint of BROKEN_AT of them is in `folder`."""
    session = open_tiny(strategy)
    state = session.build_state()
    loop = session.build_loop(state)
    initial = state.model.get_weights()
    checkpoints = Checkpoints(folder, keep=1)
    numbers = take_steps(session, loop, 0, BROKEN_AT)
    state.stateful.gather()
    checkpoints.save(BROKEN_AT, state.variables(), {})
    numbers += take_steps(session, loop, BROKEN_AT, STEPS - BROKEN_AT)
    return types.SimpleNamespace(
        session=session,
        state=state,
        loop=loop,
        checkpoints=checkpoints,
        initial=initial,
        numbers=numbers,
        end=everything(state),
    )


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return train(one_device(), tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def two(two_replicas, tmp_path_factory):
    return train(two_replicas, tmp_path_factory.mktemp("two"))


def assert_close(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, err_msg=name, **CLOSE)


def column(numbers, name):
    return [each[name] for each in numbers]


def by_hand(session, weights):
    """STEPS steps written down plainly: the loss of each, the weights and the state after them."""
    model = session.task.build_model()
    model.set_weights(weights)
    optimizer = LambMinTrust(decay=1.2e-6)
    optimizer.build(model.trainable_variables)
    lanes = tf.cast(segments.lanes(session.task.dataset.tokens("train[:242]"), LANES), tf.int32)
    cut = segments.random_segments(lanes.shape[1], 16, 5512, steps=STEPS)
    losses = []
    for step in range(STEPS):
        begin, end = cut.begin[step], cut.begin[step] + cut.length[step]
        if begin == 0:
            state = empty_state(model, LANES)
        with noise.draws(tf.constant([0, step], tf.int64)), tf.GradientTape() as tape:
            outputs = model({"tokens": lanes[:, begin:end], "state": state}, training=True)
            targets = lanes[:, begin + 1 : end + 1]
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, outputs["logits"]))
        gradients = tape.gradient(loss, model.trainable_variables)
        gradients, _ = tf.clip_by_global_norm(gradients, 0.25)
        for gradient, variable in zip(gradients, model.trainable_variables):
            optimizer.update_step(gradient, variable, 0.01 * min(step + 1, 8) / 8)
        state = outputs["state"]
        losses.append(float(loss))
    return losses, model.get_weights(), state


def test_the_loop_takes_the_steps_that_are_written_down_plainly(one):
    """State carried, cut from the gradient and emptied with every epoch; dropout; the clipped gradient; LAMB."""
    losses, weights, state = by_hand(one.session, one.initial)
    np.testing.assert_allclose(column(one.numbers, "loss"), losses, rtol=1e-5)
    for ours, theirs in zip(one.state.model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(ours, theirs, **CLOSE)
    assert_close({name: one.end[f"carried/{name}"] for name in state}, state)


def test_the_steps_cover_segments_of_many_lengths_and_the_beginnings_of_epochs(one):
    cut = one.session.task.segments
    assert len(set(cut.length[:STEPS])) >= 5 and cut.is_first[:STEPS].sum() >= 3


def test_segments_of_all_lengths_are_traced_once(one):
    iterator = iter(one.session.task.distributed_batches(one.session.strategy, 0))
    for steps in (2, 1, 5):
        one.loop.run(iterator, steps)
    assert one.loop.traces == 1


def test_two_replicas_take_the_steps_of_one(one, two):
    for name in ("loss", "bpc", "gradient_norm"):
        np.testing.assert_allclose(column(two.numbers, name), column(one.numbers, name), rtol=1e-4)
    assert two.loop.traces == 1


def test_two_replicas_end_in_the_weights_and_the_state_of_one(one, two):
    assert_close(two.end, one.end)


@pytest.mark.parametrize("begun, continued", [("one", "two"), ("two", "one"), ("one", "one")])
def test_a_checkpoint_is_continued_by_any_number_of_replicas(one, two, begun, continued):
    begun, continued = ({"one": one, "two": two}[name] for name in (begun, continued))
    begun.checkpoints.restore(BROKEN_AT, continued.state.variables())
    continued.state.stateful.scatter()
    numbers = take_steps(continued.session, continued.loop, BROKEN_AT, STEPS - BROKEN_AT)
    np.testing.assert_allclose(column(numbers, "loss"), column(one.numbers[BROKEN_AT:], "loss"), rtol=1e-4)
    assert_close(everything(continued.state), one.end)


def test_a_loss_is_the_mean_over_the_symbols_of_a_lane(one):
    state, tokens = one.state, tf.constant([[1, 2, 3]] * LANES)
    batch = {"tokens": tokens, "targets": tokens + 1, "is_first": tf.ones([LANES], tf.bool)}
    losses, metrics = one.session.task.losses(state.network, batch, training=False)
    logits = state.model({"tokens": tokens, "state": empty_state(state.model, LANES)})["logits"]
    probabilities = tf.gather(tf.nn.softmax(logits), batch["targets"], batch_dims=2)
    np.testing.assert_allclose(losses, -np.log(probabilities).mean(1), rtol=1e-5)
    np.testing.assert_allclose(metrics["bpc"], losses / math.log(2), rtol=1e-6)


@pytest.fixture
def with_second_pass():
    return open_tiny(one_device(), "--set=train.epochs=5", "--set=schedule.second_pass_epochs=2").task


def test_the_passes_draw_their_lengths_from_seeds_of_their_own(with_second_pass):
    first, second = with_second_pass.passes
    assert first.length.tolist() == segments.random_segments(60, 16, 5512, epochs=3).length.tolist()
    assert second.length.tolist() == segments.random_segments(60, 16, 125, epochs=2).length.tolist()
    assert with_second_pass.segments.length.tolist() == [*first.length, *second.length]


def test_a_run_has_a_step_for_every_segment_of_its_passes(with_second_pass):
    first, second = map(len, with_second_pass.passes)
    steps = with_second_pass.length
    assert (steps.total, steps.first_pass) == (first + second, first)
    assert steps.per_epoch == pytest.approx((first + second) / 5, rel=0.1)


def test_a_run_of_so_many_steps_has_one_pass():
    steps = open_tiny(one_device(), "--set=train.steps=33", "--set=train.epochs=none").task.length
    assert (steps.total, steps.first_pass) == (33, None)


def test_symbols_are_counted_over_all_lanes(with_second_pass):
    lengths = with_second_pass.segments.length
    assert with_second_pass.units(0, 3) == LANES * lengths[:3].sum()
    assert with_second_pass.units(7, 4) == LANES * lengths[7:11].sum()


def test_bytes_are_measured_in_bits_and_words_in_perplexity(with_second_pass, tmp_path):
    assert with_second_pass.metric == "bpc" and with_second_pass.metric_of(1.0) == pytest.approx(1 / math.log(2))
    recipe = parse(["main", "--experiment=sha_rnn_wikitext2"]).recipe_for("paper")
    words = LanguageModelling(recipe, declared_text(find("wikitext2", tmp_path)), seed=0)
    assert words.metric == "perplexity" and float(words.metric_of(2.0)) == pytest.approx(math.exp(2.0))


def test_a_test_names_its_lanes(with_second_pass):
    assert with_second_pass.test_protocol == with_second_pass.validation_protocol == "8 lanes"

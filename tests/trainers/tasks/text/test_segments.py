"""Lanes and segments are the author's, and every replica reads its own lanes, from any step on."""

import numpy as np
import pytest
import tensorflow as tf

from flags.errors import UserError
from trainers.tasks.text import segments

ENWIK8 = 5_625_000  # rows of its training part in 16 lanes
FIRST_LENGTHS = {  # of the author's code
    5512: [1018, 1022, 1022, 1024, 1019, 1021, 1023, 1023, 1024, 1024, 1015, 1024],
    125: [1024, 1021, 1024, 1024, 1013, 1023, 1024, 1024, 1024, 509, 1023, 1014],
}
SYMBOLS = np.arange(8 * 100 + 3)  # in 8 lanes of 100, 3 are left over
SEGMENTS = segments.random_segments(100, 12, 7, epochs=2)


def context(pipelines=1, pipeline=0, replicas=1):
    return tf.distribute.InputContext(pipelines, pipeline, replicas)


def elements(*, first_step=0, dtype=np.int32, count=8, **cluster):
    """All that one pipeline gives, as NumPy arrays."""
    lanes = segments.lanes(SYMBOLS.astype(dtype), count)
    return list(
        segments.batches(lanes, SEGMENTS, first_step=first_step, context=context(**cluster)).as_numpy_iterator()
    )


def assert_equal(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs):
        for name in ("tokens", "targets", "is_first"):
            np.testing.assert_array_equal(one[name], other[name])


def test_lanes_are_stretches_one_after_the_other():
    lanes = segments.lanes(np.arange(14), 4)
    assert lanes.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert lanes.base is not None  # not copied


def test_lanes_that_leave_nothing_to_predict_are_refused():
    with pytest.raises(UserError, match="a text of 7 symbols cannot be cut into 4 lanes of at least 2: use at most 3"):
        segments.lanes(np.arange(7), 4)


@pytest.mark.parametrize("seed", FIRST_LENGTHS)
def test_lengths_are_those_that_the_author_s_seed_draws(seed):
    drawn = segments.random_segments(ENWIK8, 1024, seed, steps=12)
    assert drawn.length.tolist() == FIRST_LENGTHS[seed]
    assert drawn.begin.tolist() == [sum(FIRST_LENGTHS[seed][:step]) for step in range(12)]


def test_the_first_two_epochs_have_the_author_s_number_of_updates():
    drawn = segments.random_segments(ENWIK8, 1024, 5512, epochs=2)
    assert np.bincount(drawn.epoch).tolist() == [5_642, 5_640]
    assert np.flatnonzero(drawn.is_first).tolist() == [0, 5_642]


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7, 100, 1000, 1001])
def test_an_epoch_covers_a_lane_without_a_gap_up_to_its_last_two_symbols(n):
    drawn = segments.random_segments(n, 64, 3, epochs=1)
    ends = drawn.begin + drawn.length
    assert drawn.begin[0] == 0 and (drawn.begin[1:] == ends[:-1]).all()
    assert ends[-1] in (n - 2, n - 1)
    assert drawn.length.max() <= 64 and (drawn.length[:-1] >= 5).all()


def test_about_one_segment_in_twenty_is_half_as_long():
    drawn = segments.random_segments(ENWIK8, 1024, 1, epochs=1)
    short = (drawn.length > 450) & (drawn.length < 574)
    assert 0.04 < short.mean() < 0.06
    assert ((drawn.length > 950) | short)[:-1].all()


def test_the_draws_go_on_from_epoch_to_epoch():
    one, two = (segments.random_segments(1000, 64, 3, epochs=epochs) for epochs in (1, 2))
    assert two.length[: len(one)].tolist() == one.length.tolist()
    assert two.length[len(one) :].tolist() != one.length.tolist()


@pytest.mark.parametrize("part, steps", [(0.6, 10), (0.3, 5), (0.01, 1)])
def test_a_part_of_an_epoch_is_its_first_segments(part, steps):
    whole = segments.random_segments(1000, 64, 3, epochs=2)
    assert np.bincount(whole.epoch).tolist() == [17, 17]
    for epochs in (0, 1):
        drawn = segments.random_segments(1000, 64, 3, epochs=epochs + part)
        assert drawn.length.tolist() == whole.length[: 17 * epochs + steps].tolist()


@pytest.mark.parametrize("steps", [1, 7, 16, 17, 18, 100])
def test_so_many_steps_take_as_many_epochs_as_they_need(steps):
    endless = segments.random_segments(1000, 64, 3, epochs=10)
    drawn = segments.random_segments(1000, 64, 3, steps=steps)
    assert len(drawn) == steps
    for ours, theirs in zip(vars(drawn).values(), vars(endless).values()):
        np.testing.assert_array_equal(ours, theirs[:steps])


def test_lanes_too_short_to_train_on_are_refused():
    with pytest.raises(UserError, match="lanes of 2 symbols are too short to train on"):
        segments.random_segments(2, 64, 3, steps=5)


@pytest.mark.parametrize("n, count, last", [(312_500, 306, 179), (625_000, 611, 359)], ids=["validation", "test"])
def test_evaluation_on_enwik8_has_the_author_s_segments(n, count, last):
    fixed = segments.fixed_segments(n, 1024)
    assert len(fixed) == count
    assert (fixed.length[:-1] == 1024).all() and fixed.length[-1] == last
    assert fixed.is_first.tolist() == [True] + [False] * (count - 1)


@pytest.mark.parametrize("n", [2, 16, 17, 18, 33, 100])
def test_evaluation_predicts_every_symbol_but_the_first_once(n):
    fixed = segments.fixed_segments(n, 16)
    targets = [begin + 1 + np.arange(length) for begin, length in zip(fixed.begin, fixed.length)]
    assert np.concatenate(targets).tolist() == list(range(1, n))


def test_a_second_pass_follows_the_first_and_begins_empty():
    first, second = (segments.random_segments(100, 12, seed, epochs=2) for seed in (7, 8))
    both = first + second
    assert len(both) == len(first) + len(second)
    assert both.length.tolist() == [*first.length, *second.length]
    assert both.epoch.tolist() == [*first.epoch, *(second.epoch + 2)]
    assert both.is_first[len(first)] and both.begin[len(first)] == 0
    assert [array.dtype for array in vars(both).values()] == [np.int64, np.int32, np.bool_, np.int32]


def test_targets_are_the_symbols_after_the_tokens_in_every_lane():
    lanes = segments.lanes(SYMBOLS, 8)
    given = elements()
    assert len(given) == len(SEGMENTS)
    for step, element in enumerate(given):
        begin, end = SEGMENTS.begin[step], SEGMENTS.begin[step] + SEGMENTS.length[step]
        np.testing.assert_array_equal(element["tokens"], lanes[:, begin:end])
        np.testing.assert_array_equal(element["targets"], lanes[:, begin + 1 : end + 1])
        assert element["is_first"].tolist() == [SEGMENTS.is_first[step]] * 8


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_elements_have_a_static_number_of_lanes_and_are_int32(dtype):
    lanes = segments.lanes(SYMBOLS.astype(dtype), 8)
    spec = segments.batches(lanes, SEGMENTS, context=context(2, 0, 4)).element_spec
    assert spec == {
        "tokens": tf.TensorSpec([2, None], tf.int32),
        "targets": tf.TensorSpec([2, None], tf.int32),
        "is_first": tf.TensorSpec([2], tf.bool),
    }


@pytest.mark.parametrize("first_step", [1, 9, len(SEGMENTS) - 1, len(SEGMENTS)])
def test_a_stream_started_at_any_step_is_the_tail_of_the_unbroken_one(first_step):
    assert_equal(elements(first_step=first_step), elements()[first_step:])
    assert_equal(elements(first_step=first_step, replicas=2), elements(replicas=2)[2 * first_step :])


@pytest.mark.parametrize("pipelines, replicas", [(1, 2), (2, 2), (2, 4), (4, 8)])
def test_replicas_of_all_pipelines_together_read_what_one_reads(pipelines, replicas):
    local = replicas // pipelines
    given = [elements(pipelines=pipelines, pipeline=pipeline, replicas=replicas) for pipeline in range(pipelines)]
    joined = []
    for step in range(len(SEGMENTS)):
        parts = [element for pipeline in given for element in pipeline[step * local : (step + 1) * local]]
        joined.append({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    assert_equal(joined, elements())
    assert {len(pipeline) for pipeline in given} == {local * len(SEGMENTS)}


def test_every_replica_of_a_strategy_reads_its_own_lanes(two_replicas):
    lanes = segments.lanes(SYMBOLS.astype(np.uint8), 8)
    distributed = two_replicas.distribute_datasets_from_function(
        lambda context: segments.batches(lanes, SEGMENTS, first_step=5, context=context)
    )
    steps = 0
    for step, element in enumerate(distributed, start=5):
        begin, length = SEGMENTS.begin[step], SEGMENTS.length[step]
        for replica, tokens in enumerate(two_replicas.experimental_local_results(element["tokens"])):
            np.testing.assert_array_equal(tokens, lanes[4 * replica : 4 * replica + 4, begin : begin + length])
        steps += 1
    assert steps == len(SEGMENTS) - 5

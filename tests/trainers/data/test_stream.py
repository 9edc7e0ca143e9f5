"""The promises on the order of examples: pure in (seed, epoch, position), resumable anywhere, each example once."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from trainers.data import stream

SIZE = 101  # examples of numbers/train: a prime, so that no batch, window or file count divides it
BATCH = 4
EPOCHS = 3
STEPS = EPOCHS * SIZE // BATCH


def labelled(example, seed):
    return {"label": example["label"], "seed": seed}


def context(pipelines=1, pipeline=0, replicas=1):
    return tf.distribute.InputContext(pipelines, pipeline, replicas)


ONE = context()


def batches(split, count, *, seed=7, first_step=0, window=10, context=ONE):
    """`count` batches of a training stream as (labels, seeds)."""
    data = stream.training_batches(
        split,
        labelled,
        seed=seed,
        first_step=first_step,
        global_batch=BATCH,
        shuffle_window=window,
        context=context,
    )
    return [(b["label"], b["seed"]) for b in itertools.islice(data.as_numpy_iterator(), count)]


def order(split, count, **options):
    """The labels of the first `count` examples."""
    steps = -(-count // BATCH)
    return np.concatenate([labels for labels, _ in batches(split, steps, **options)])[:count]


class Range:
    """A split of the numbers from 0 on, in files of 100; counts what is read."""

    def __init__(self, num_examples):
        self.num_examples = num_examples
        self.shard_sizes = [100] * (num_examples // 100)
        self.records_read = 0

    def read(self, shard, skip, take):
        first = 100 * shard + skip
        return tf.data.Dataset.range(first, first + take).map(self._counted)

    def parse(self, record):
        return {"label": record}

    def _counted(self, record):
        def count(number):
            self.records_read += 1
            return number

        return tf.ensure_shape(tf.numpy_function(count, [record], tf.int64), [])


@pytest.fixture(scope="module")
def train(numbers):
    return numbers.split("train")


@pytest.fixture(scope="module")
def unbroken(train):
    return batches(train, STEPS)


@pytest.mark.parametrize("window", [1, 10, 5000])
def test_every_epoch_holds_every_example_once(train, window):
    seen = order(train, EPOCHS * SIZE, window=window).reshape(EPOCHS, SIZE)
    assert (np.sort(seen, axis=1) == np.arange(SIZE)).all()


def test_epochs_differ_in_their_order(train):
    first, second, third = order(train, EPOCHS * SIZE).reshape(EPOCHS, SIZE)
    assert (first != second).any() and (second != third).any() and (first != third).any()


def test_the_order_is_the_seeds(train, unbroken):
    again = np.concatenate([labels for labels, _ in unbroken])[:SIZE]
    assert (order(train, SIZE, seed=7) == again).all()
    assert (order(train, SIZE, seed=8) != again).any()


@pytest.mark.parametrize(
    "first_step", [2, 5, 25, 26, 51], ids=["mid_window", "window_end", "epoch_end", "epoch_2", "epoch_3"]
)
def test_a_stream_started_at_any_step_is_the_tail_of_the_unbroken_one(train, unbroken, first_step):
    resumed = batches(train, STEPS - first_step, first_step=first_step)
    for ours, theirs in zip(resumed, unbroken[first_step:], strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])


@pytest.mark.parametrize("window", [1, 64, 5000], ids=["no_shuffle", "two_windows", "one_window"])
def test_a_stream_can_be_resumed_whatever_the_window(train, window):
    whole = order(train, 2 * SIZE, window=window)
    for first_step in (17, 33):
        tail = order(train, 2 * SIZE - first_step * BATCH, window=window, first_step=first_step)
        np.testing.assert_array_equal(tail, whole[first_step * BATCH :])


def test_an_example_is_decoded_with_a_seed_of_its_own(unbroken):
    seeds = np.concatenate([seeds for _, seeds in unbroken])
    assert len(np.unique(seeds, axis=0)) == len(seeds)


def test_a_resumed_stream_decodes_nothing_that_was_seen(train):
    decoded = []

    def record(example, seed):
        tf.numpy_function(lambda position: decoded.append(int(position)), [seed[1]], [])
        return labelled(example, seed)

    data = stream.training_batches(
        train, record, seed=7, first_step=13, global_batch=BATCH, shuffle_window=50, context=ONE
    )
    list(data.take(2))
    assert min(decoded) == 13 * BATCH


def test_a_resumed_stream_reads_no_window_that_was_seen():
    split = Range(10_000)
    order(split, 4, first_step=9_960 // BATCH, window=100)
    assert split.records_read < 1_000  # the last window of the epoch and what is read ahead of the next


def test_a_window_is_permuted_and_nothing_leaves_it():
    first = order(Range(100), 100, window=20).reshape(5, 20)
    for window, numbers in enumerate(first):
        assert sorted(numbers) == list(range(20 * window, 20 * window + 20))
        assert sorted(numbers) != list(numbers)


def test_a_window_of_the_whole_split_shuffles_it_perfectly():
    labels = order(Range(2_000), 2_000, window=2_000)
    # Of two independent orders, the correlation has a standard deviation of 1 / sqrt(2000) = 0.022.
    assert abs(np.corrcoef(labels, np.arange(2_000))[0, 1]) < 0.1
    assert np.mean(np.abs(np.diff(labels)) == 1) < 0.01


@pytest.mark.parametrize("pipelines, replicas", [(1, 2), (2, 2), (2, 4)])
def test_replicas_and_pipelines_share_the_global_batches_of_one(train, unbroken, pipelines, replicas):
    first_step, steps, local = 24, 4, replicas // pipelines  # over the end of an epoch
    parts = [
        batches(train, steps * local, first_step=first_step, context=context(pipelines, pipeline, replicas))
        for pipeline in range(pipelines)
    ]
    for step in range(steps):
        together = [batch for part in parts for batch in part[step * local : (step + 1) * local]]
        labels, seeds = (np.concatenate(column) for column in zip(*together))
        np.testing.assert_array_equal(labels, unbroken[first_step + step][0])
        np.testing.assert_array_equal(seeds, unbroken[first_step + step][1])


def test_a_mirrored_strategy_deals_the_global_batch_to_its_replicas_in_order(train, unbroken, two_replicas):
    data = two_replicas.distribute_datasets_from_function(
        lambda context: stream.training_batches(
            train, labelled, seed=7, first_step=3, global_batch=BATCH, shuffle_window=10, context=context
        )
    )
    iterator = iter(data)
    for labels, _ in unbroken[3:6]:
        parts = two_replicas.experimental_local_results(next(iterator)["label"])
        assert [part.shape for part in parts] == [(2,), (2,)]
        np.testing.assert_array_equal(np.concatenate(parts), labels)


def test_training_batches_have_static_shapes_and_no_end(train):
    data = stream.training_batches(
        train, labelled, seed=7, first_step=0, global_batch=BATCH, shuffle_window=10, context=ONE
    )
    assert data.element_spec["label"].shape == (BATCH,)
    assert data.cardinality() == tf.data.INFINITE_CARDINALITY


@pytest.mark.parametrize("expression", ["train[30:75]", "train[95:]+test", "train[:1]"])
def test_a_slice_holds_its_own_examples_and_no_others(numbers, numbers_builder, expression):
    split = numbers.split(expression)
    theirs = [int(e["label"]) for e in numbers_builder.as_dataset(split=expression, shuffle_files=False)]
    in_file_order = [int(e["label"]) for e in stream.examples(split)]
    one_epoch = order(split, split.num_examples)
    assert in_file_order == theirs
    assert sorted(one_epoch) == sorted(theirs)


def evaluation(split, global_batch, context):
    data = stream.evaluation_batches(
        split, lambda example: {"label": example["label"]}, global_batch=global_batch, context=context
    )
    assert data.cardinality() * context.num_input_pipelines == (
        -(-split.num_examples // global_batch) * context.num_replicas_in_sync
    )
    return list(data.as_numpy_iterator())


@pytest.mark.parametrize("pipelines, replicas", [(1, 1), (1, 2), (2, 4)])
@pytest.mark.parametrize("replica_batch", [1, 3, 64])
def test_evaluation_counts_every_example_once(numbers, pipelines, replicas, replica_batch):
    test = numbers.split("test")
    steps = -(-23 // (replica_batch * replicas))
    counted = []
    for pipeline in range(pipelines):
        found = evaluation(test, replica_batch * replicas, context(pipelines, pipeline, replicas))
        assert len(found) == steps * replicas // pipelines
        for batch in found:
            assert batch["label"].shape == batch["weight"].shape == (replica_batch,)
            counted.extend(batch["label"][batch["weight"] == 1.0])
            assert set(batch["weight"]) <= {0.0, 1.0}
    assert sorted(counted) == list(range(23))


def test_evaluation_goes_in_file_order(numbers, numbers_builder):
    theirs = [int(e["label"]) for e in numbers_builder.as_dataset(split="test", shuffle_files=False)]
    found = evaluation(numbers.split("test"), 5, ONE)
    assert list(np.concatenate([b["label"] for b in found]))[:23] == theirs

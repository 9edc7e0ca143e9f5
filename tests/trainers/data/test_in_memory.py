"""Images in memory: which are used, whose labels are wrong, in what batches they come."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from flags.data import SmallImages
from trainers.data import in_memory

COUNT, CLASSES, SIDE = 4000, 10, 16
DATA = SmallImages(name="digits", train_split="train", validation_split="test", test_split="test", flip=False)
AUGMENTED = dataclasses.replace(DATA, crop="pad_and_shift", flip=True)


@pytest.fixture(scope="module")
def pool():
    draws = np.random.default_rng(0)
    images = draws.integers(1, 256, (COUNT, SIDE, SIDE, 1), np.uint8)
    return in_memory.InMemoryImages(images=images, labels=draws.integers(0, CLASSES, COUNT))


def used(pool, num_train=None, noise=0.0, subset_seed=0, noise_seed=0):
    return in_memory.training_set(
        pool,
        num_train=num_train,
        label_noise=noise,
        num_classes=CLASSES,
        subset_seed=subset_seed,
        noise_seed=noise_seed,
    )


def batches(examples, count, *, data=DATA, seed=0, first_step=0, batch=96, replicas=1, pipelines=1):
    """The first batches of each replica: [replicas] lists of dicts."""
    result = []
    for pipeline in range(pipelines):
        context = tf.distribute.InputContext(pipelines, pipeline, replicas)
        stream = in_memory.training_batches(
            examples, data, seed=seed, first_step=first_step, global_batch=batch, context=context
        )
        own = replicas // pipelines
        got = list(stream.take(count * own).as_numpy_iterator())
        result += [got[replica::own] for replica in range(own)]
    return result


# Subset and label noise


def test_a_share_of_labels_is_wrong_as_asked(pool):
    rate = used(pool, noise=0.2).is_corrupted.mean()
    assert abs(rate - 0.2) < 3 * np.sqrt(0.2 * 0.8 / COUNT)


def test_a_corrupted_label_is_any_other_class_alike(pool):
    examples = used(pool, noise=1.0)
    assert examples.is_corrupted.all()
    steps = (examples.labels - examples.true_labels) % CLASSES
    counts = np.bincount(steps, minlength=CLASSES)
    assert counts[0] == 0
    assert abs(counts[1:] - COUNT / 9).max() < 5 * np.sqrt(COUNT / 9)


def test_without_noise_no_label_changes(pool):
    assert not used(pool).is_corrupted.any()


def test_equal_seeds_of_subset_and_noise_are_independent(pool):
    # One generator for both made every kept example a corrupted one (a published replication).
    for seed in (0, 1, 42):
        rate = used(pool, num_train=1000, noise=0.2, subset_seed=seed, noise_seed=seed).is_corrupted.mean()
        assert abs(rate - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 1000)


def test_the_noise_seed_leaves_the_subset_alone(pool):
    one, other = (used(pool, num_train=500, noise=0.2, noise_seed=seed) for seed in (0, 1))
    assert np.array_equal(one.index, other.index)
    assert not np.array_equal(one.is_corrupted, other.is_corrupted)


def test_a_subset_has_no_example_twice(pool):
    assert len(set(used(pool, num_train=1000).index)) == 1000


def test_a_smaller_subset_is_part_of_a_larger_one_with_the_same_labels(pool):
    small, large = used(pool, num_train=500, noise=0.2), used(pool, num_train=1000, noise=0.2)
    assert np.array_equal(small.index, large.index[:500])
    assert np.array_equal(small.labels, large.labels[:500])


def test_more_noise_keeps_the_labels_that_were_wrong(pool):
    some, more = used(pool, noise=0.1), used(pool, noise=0.3)
    assert (some.labels[some.is_corrupted] == more.labels[some.is_corrupted]).all()


def test_an_image_keeps_its_place_beside_its_label(pool):
    examples = used(pool, num_train=200, noise=0.5)
    assert np.array_equal(examples.images, pool.images[examples.index])
    assert np.array_equal(examples.true_labels, pool.labels[examples.index])


def test_labels_of_the_pool_are_left_alone(pool):
    before = pool.labels.copy()
    used(pool, noise=1.0)
    assert np.array_equal(pool.labels, before)


# Batches


def test_an_epoch_has_every_example_once_and_its_last_batch_the_rest(pool):
    examples = used(pool, num_train=200)
    (got,) = batches(examples, 3)
    assert [len(batch["label"]) for batch in got] == [96, 96, 8]
    seen = np.concatenate([batch["image"] for batch in got]).reshape(200, -1)
    assert {row.tobytes() for row in seen} == {row.tobytes() for row in examples.images.reshape(200, -1)}


def test_every_epoch_has_another_order(pool):
    examples = used(pool, num_train=192)
    (got,) = batches(examples, 4)
    assert not np.array_equal(got[0]["image"], got[2]["image"])


def test_every_view_of_an_image_has_the_same_wrong_label(pool):
    examples = used(pool, num_train=96, noise=1.0)
    label_of = {image.tobytes(): label for image, label in zip(examples.images, examples.labels)}
    (got,) = batches(examples, 3)
    for batch in got:
        assert all(label_of[image.tobytes()] == label for image, label in zip(batch["image"], batch["label"]))


def test_shares_make_a_step_the_mean_over_its_examples(pool):
    (got,) = batches(used(pool, num_train=200), 3)
    assert [batch["share"].sum() for batch in got] == pytest.approx([96, 96, 96])


@pytest.mark.parametrize("data", [DATA, AUGMENTED], ids=["plain", "augmented"])
def test_a_stream_that_starts_anywhere_goes_on_as_one_from_the_start(pool, data):
    examples = used(pool, num_train=200)
    (whole,) = batches(examples, 8, data=data)
    (rest,) = batches(examples, 3, data=data, first_step=5)
    for one, other in zip(whole[5:], rest):
        assert np.array_equal(one["image"], other["image"]) and np.array_equal(one["label"], other["label"])


@pytest.mark.parametrize("pipelines", [1, 2])
@pytest.mark.parametrize("data", [DATA, AUGMENTED], ids=["plain", "augmented"])
def test_two_replicas_share_what_one_sees(pool, data, pipelines):
    examples = used(pool, num_train=201)
    (one,) = batches(examples, 4, data=data)
    both = batches(examples, 4, data=data, replicas=2, pipelines=pipelines)
    for step, batch in enumerate(one):
        for name in ("image", "label", "share"):
            assert np.array_equal(batch[name], np.concatenate([replica[step][name] for replica in both]))


def test_a_step_with_all_examples_is_always_the_same(pool):
    (got,) = batches(used(pool, num_train=50), 2, batch=64)
    assert np.array_equal(got[0]["image"], got[1]["image"])
    assert got[0]["share"].sum() == pytest.approx(64)


# Augmentation


def test_an_image_is_shifted_by_up_to_an_eighth_and_mirrored_half_the_time(pool):
    image = np.zeros((1, SIDE, SIDE, 1), np.uint8)
    image[0, 8, 4] = 255  # one bright pixel tells where the image went
    examples = dataclasses.replace(used(pool, num_train=2000), images=np.repeat(image, 2000, axis=0))
    (got,) = batches(examples, 1, data=AUGMENTED, batch=2000)
    rows, columns = np.nonzero(got[0]["image"][..., 0].max(axis=0))
    assert set(rows) == {6, 7, 8, 9, 10}
    assert set(columns) == {*range(2, 7), *range(9, 14)}  # 4 +- 2, and its mirror image 11 +- 2
    mirrored = (got[0]["image"][:, :, 8:] > 0).any(axis=(1, 2, 3)).mean()
    assert abs(mirrored - 0.5) < 0.05


def test_black_comes_in_where_an_image_is_shifted(pool):
    examples = dataclasses.replace(used(pool, num_train=500), images=np.full((500, SIDE, SIDE, 1), 200, np.uint8))
    (got,) = batches(examples, 1, data=AUGMENTED, batch=500)
    assert set(np.unique(got[0]["image"])) == {0, 200}


def test_evaluation_covers_every_example_once(pool):
    columns = {"image": pool.images[:50], "label": pool.labels[:50]}
    stream = in_memory.evaluation_batches(columns, global_batch=16, context=tf.distribute.InputContext(1, 0, 2))
    got = list(stream.as_numpy_iterator())
    weight = np.concatenate([batch["weight"] for batch in got])
    labels = np.concatenate([batch["label"] for batch in got])
    assert weight.sum() == 50 and np.array_equal(labels[weight > 0], pool.labels[:50])

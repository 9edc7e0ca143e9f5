"""Numbers of any shape are summed over a split, each example once, and `finish` makes metrics of them."""

import numpy as np
import pytest
import tensorflow as tf

from trainers.loop.evaluation import EvalLoop

LABELS = np.array([0, 0, 1, 2, 2, 2])
GUESSES = np.array([0, 1, 1, 2, 2, 0])


def feed(strategy, batch=4):
    """The six examples in two batches, the last one filled up by two of weight 0."""
    places = np.array([0, 1, 2, 3, 4, 5, 0, 0])
    weight = np.array([1, 1, 1, 1, 1, 1, 0, 0], np.float32)

    def per_replica(context):
        size = context.get_per_replica_batch_size(batch)
        data = {"label": LABELS[places], "guess": GUESSES[places], "weight": weight}
        return tf.data.Dataset.from_tensor_slices(data).batch(size, drop_remainder=True)

    return iter(strategy.distribute_datasets_from_function(per_replica))


def confusion(batch):
    pairs = tf.one_hot(batch["label"], 3)[:, :, None] * tf.one_hot(batch["guess"], 3)[:, None, :]
    return {"confusion": pairs, "right": tf.cast(batch["label"] == batch["guess"], tf.float32)}


def per_class(sums, weight):
    matrix = sums["confusion"]
    return {"mean_per_class": float(np.mean(np.diag(matrix) / matrix.sum(axis=1))), "top1": sums["right"] / weight}


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_confusion_matrix_gives_the_mean_over_classes(replicas, two_replicas):
    strategy = two_replicas if replicas == 2 else tf.distribute.OneDeviceStrategy("cpu:0")
    names = {"confusion": (3, 3), "right": ()}
    loop = EvalLoop(strategy=strategy, measure=confusion, names=names, finish=per_class)
    assert loop.run(feed(strategy), 2) == {
        "mean_per_class": pytest.approx((1 / 2 + 1 + 2 / 3) / 3),
        "top1": pytest.approx(4 / 6),
        "examples": 6,
    }


def test_by_default_metrics_are_means():
    strategy = tf.distribute.OneDeviceStrategy("cpu:0")
    loop = EvalLoop(strategy=strategy, measure=lambda batch: {"right": confusion(batch)["right"]}, names=["right"])
    assert loop.run(feed(strategy), 2) == {"right": pytest.approx(4 / 6), "examples": 6}

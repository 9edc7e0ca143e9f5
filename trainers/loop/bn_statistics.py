"""Exact batch-norm statistics: averages over the training set, computed after training.

The moving averages at the end of training reflect the weights and batches of the last steps. The authors of ResNet
released networks whose means and variances were averaged over training images with the final weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf
from keras import layers

from tf_models.layers import noise
from trainers.loop.state import TrainState


def batch_norms(model: keras.Model) -> list[layers.BatchNormalization]:
    return [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]


@contextlib.contextmanager
def exact_statistics(task, strategy: tf.distribute.Strategy, state: TrainState) -> Iterator[None]:
    """Context in which the batch norms use averages over one epoch of training batches; restores them on exit.

    The batches are those that training would see next, with augmentation, each micro-batch normalised by its own
    statistics. Means and second moments about zero are averaged over micro-batches, so that the variance is that of all
    pixels together.
    """
    before = [v.numpy() for v in state.statistics]
    try:
        for variable, value in _averages(task, strategy, state):
            variable.assign(value)
        yield
    finally:
        for variable, value in zip(state.statistics, before, strict=True):
            variable.assign(value)


def _averages(task, strategy: tf.distribute.Strategy, state: TrainState) -> list[tuple]:
    """Every moving mean and variance with its exact value. Overwrites the variables themselves."""
    replicas = strategy.num_replicas_in_sync
    parts = task.recipe.train.micro_batches_of(replicas)
    steps = max(1, round(task.length.per_epoch))
    norms = batch_norms(state.model)
    iterator = iter(task.distributed_batches(strategy, int(state.step.numpy())))
    with _moving_at_once(norms):
        sums = _sum_moments(task, strategy, state, norms, parts)(iterator, tf.constant(steps))
    averages = []
    for norm, (mean, second_moment) in zip(norms, sums):
        mean, second_moment = mean / (steps * parts * replicas), second_moment / (steps * parts * replicas)
        variance = tf.maximum(second_moment - mean**2, 0)
        averages.append((norm.moving_mean, tf.cast(mean, tf.float32)))
        averages.append((norm.moving_variance, tf.cast(variance, tf.float32)))
    return averages


@contextlib.contextmanager
def _moving_at_once(norms: Sequence[layers.BatchNormalization]) -> Iterator[None]:
    """Context in which traced batch norms set their moving statistics to those of the last batch alone."""
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum


def _sum_moments(
    task,
    strategy: tf.distribute.Strategy,
    state: TrainState,
    norms: Sequence[layers.BatchNormalization],
    parts: int,
):
    """Returns a function that maps an iterator and a number of steps to each norm's (mean, second moment).

    Both are float64 [channels], summed over steps, micro-batches and replicas.
    """
    size = task.recipe.train.global_batch // strategy.num_replicas_in_sync // parts

    def moments():
        pairs = [(tf.cast(n.moving_mean, tf.float64), tf.cast(n.moving_variance, tf.float64)) for n in norms]
        return [(mean, variance + mean**2) for mean, variance in pairs]

    def micro_batch(batch, index):
        part = {name: values[index * size : (index + 1) * size] for name, values in batch.items()}
        with noise.draws(tf.stack([tf.cast(task.seed, tf.int64), tf.identity(state.step)])):
            task.losses(state.model, part, training=True)
        return moments()

    def replica_step(batch):
        sums = [(tf.zeros(n.moving_mean.shape, tf.float64),) * 2 for n in norms]
        add = lambda index, total: (index + 1, tf.nest.map_structure(tf.add, total, micro_batch(batch, index)))  # noqa: E731
        sums = tf.while_loop(lambda index, _: index < parts, add, (0, sums), parallel_iterations=1)[1]
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, sums)

    @tf.function
    def run(iterator, steps):
        totals = [(tf.zeros(n.moving_mean.shape, tf.float64),) * 2 for n in norms]
        for _ in tf.range(steps):
            sums = strategy.run(replica_step, (next(iterator),))
            local = tf.nest.map_structure(lambda v: strategy.experimental_local_results(v)[0], sums)
            totals = tf.nest.map_structure(tf.add, totals, local)
        return totals

    return run

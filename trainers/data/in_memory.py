"""Small image data sets in memory: decoding, subsets, label noise and batches.

Every random choice is a pure function of a seed: the subset, the corrupted labels, the order of an epoch, the shift of
an image in a step. Subset and noise use separate generators: with a shared one, a small subset could consist entirely
of corrupted examples.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from flags.data import SmallImages
from trainers.data import images, stream

SUBSET, NOISE = 1, 2  # purpose of a generator; part of its seed
SHIFT = 8  # an image is shifted by up to an eighth of its side


@dataclasses.dataclass(frozen=True)
class InMemoryImages:
    """Decoded examples of a split, in file order."""

    images: np.ndarray  # [examples, height, width, channels], uint8
    labels: np.ndarray  # [examples], int64


@dataclasses.dataclass(frozen=True)
class TrainingSet(InMemoryImages):
    """The training examples in random order; `labels` are the (possibly corrupted) training labels."""

    index: np.ndarray  # [examples], int64: position of each example in the split
    true_labels: np.ndarray  # [examples], int64

    @property
    def is_corrupted(self) -> np.ndarray:
        """[examples], bool: whether the label was replaced."""
        return self.labels != self.true_labels


def decoded(split: stream.Records, data: SmallImages, resolution: int) -> InMemoryImages:
    """All examples of a split, preprocessed as in evaluation: resized to `resolution` if necessary.

    Cached, because decoding takes much of a short run and a sweep's worker runs many.
    """
    as_it_is = {"num_train": None, "label_noise": 0.0, "subset_seed": None, "noise_seed": None}
    return _decoded(split, dataclasses.replace(data, **as_it_is), resolution)


@functools.lru_cache(maxsize=4)
def _decoded(split: stream.Records, data: SmallImages, resolution: int) -> InMemoryImages:
    examples = stream.examples(split).map(
        lambda example: (_as_bytes(images.evaluation_image(example["image"], data, resolution)), example["label"]),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    pixels, labels = next(iter(examples.batch(split.num_examples)))
    held = InMemoryImages(images=pixels.numpy(), labels=labels.numpy())
    held.images.flags.writeable = held.labels.flags.writeable = False
    return held


def training_set(
    pool: InMemoryImages,
    *,
    num_train: int | None,
    label_noise: float,
    num_classes: int,
    subset_seed: int,
    noise_seed: int,
) -> TrainingSet:
    """The first `num_train` examples of a random order (None: all), with label noise.

    Each example is corrupted independently with probability `label_noise`; its label becomes one of the other classes
    with equal probability. The result for an example depends only on its place in the order: a smaller subset, or the
    corrupted examples at a lower rate, are contained in the larger.
    """
    order = np.random.default_rng([SUBSET, subset_seed]).permutation(len(pool.labels))[:num_train]
    noise = np.random.default_rng([NOISE, noise_seed])
    draws, others = noise.random(len(pool.labels)), noise.integers(1, num_classes, len(pool.labels))
    is_corrupted = draws[: len(order)] < label_noise
    true = pool.labels[order]
    wrong = (true + others[: len(order)]) % num_classes
    return TrainingSet(
        images=pool.images[order], labels=np.where(is_corrupted, wrong, true), index=order, true_labels=true
    )


def training_batches(
    examples: TrainingSet,
    data: SmallImages,
    *,
    seed: int,
    first_step: int,
    global_batch: int,
    context: tf.distribute.InputContext,
) -> tf.data.Dataset:
    """The infinite batches of one input pipeline from `first_step` on: `image` (uint8), `label`, `share`, [batch].

    Every epoch visits all examples once in a new order; its last batch has the remainder. The replicas get parts of
    every step that are as equal as possible. `share` is global_batch / examples of the step.
    """
    count = len(examples.labels)
    per_epoch = -(-count // global_batch)
    pixels, labels = tf.constant(examples.images), tf.constant(examples.labels)
    replicas = context.num_replicas_in_sync
    own = replicas // context.num_input_pipelines
    first_replica = context.input_pipeline_id * own
    is_augmented = data.crop == "pad_and_shift" or data.flip

    def steps_of(epoch):
        # The order is irrelevant if a step has all examples.
        order = stream.permutation(count, stream.key(seed, epoch, 0)) if per_epoch > 1 else tf.range(count)
        first = tf.where(tf.equal(epoch, first_step // per_epoch), first_step % per_epoch, 0)
        parts = tf.data.Dataset.range(tf.cast(first, tf.int64) * own, per_epoch * own)
        return tf.data.Dataset.zip(tf.data.Dataset.from_tensors((epoch, order)).repeat(), parts)

    def batch_of(epoch_and_order, part):
        epoch, order = epoch_and_order
        step, replica = part // own, first_replica + part % own
        begin = step * global_batch
        size = tf.minimum(count - begin, global_batch)
        low, high = size * replica // replicas, size * (replica + 1) // replicas
        chosen = order[begin + low : begin + high]
        image = tf.gather(pixels, chosen)
        if is_augmented:
            image = _shifted_and_flipped(image, data, stream.key(seed, epoch, 1 + step), low, high, global_batch)
        share = tf.fill([high - low], tf.cast(global_batch / size, tf.float32))
        return {"image": image, "label": tf.gather(labels, chosen), "share": share}

    if per_epoch == 1 and replicas == 1 and not is_augmented:  # always the same batch
        share = tf.fill([count], tf.constant(global_batch / count, tf.float32))
        batches = tf.data.Dataset.from_tensors({"image": pixels, "label": labels, "share": share}).repeat()
    else:
        epochs = tf.data.Dataset.counter(first_step // per_epoch)
        batches = epochs.flat_map(steps_of).map(batch_of, num_parallel_calls=tf.data.AUTOTUNE)
        batches = batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    return stream.finished(batches, context)


def evaluation_batches(
    columns: dict[str, np.ndarray], *, global_batch: int, context: tf.distribute.InputContext
) -> tf.data.Dataset:
    """The batches of one input pipeline that together cover all examples once, in order.

    Each example also has `weight`: 1.0, or 0.0 for copies of the last example that pad the last batch.
    """
    count = len(next(iter(columns.values())))
    steps = -(-count // global_batch)
    replica_batch = context.get_per_replica_batch_size(global_batch)
    own = context.num_replicas_in_sync // context.num_input_pipelines
    held = {name: tf.constant(values) for name, values in columns.items()}

    def batch_of(part):
        step, replica = part // own, context.input_pipeline_id * own + part % own
        places = step * global_batch + replica * replica_batch + tf.range(replica_batch, dtype=tf.int64)
        batch = {name: tf.gather(values, tf.minimum(places, count - 1)) for name, values in held.items()}
        return batch | {"weight": tf.cast(places < count, tf.float32)}

    return stream.finished(tf.data.Dataset.range(steps * own).map(batch_of), context)


def _shifted_and_flipped(image, data: SmallImages, key, low, high, global_batch: int):
    """Images [batch, side, side, channels], each randomly shifted and mirrored, with black padding.

    The random choices for examples `low` to `high` of the step do not depend on the number of replicas.
    """
    side = image.shape[1]
    most = max(1, side // SHIFT) if data.crop == "pad_and_shift" else 0
    draws = tf.random.stateless_uniform([global_batch, 3], key, alg="philox")[low:high]
    y, x = tf.unstack(tf.floor(draws[:, :2] * (2 * most + 1)) - most, axis=1)
    is_flipped = draws[:, 2] < (0.5 if data.flip else 0.0)
    zero, one = tf.zeros_like(x), tf.ones_like(x)
    # The result's pixel at (column, row) is the image's pixel at (a column + c, row + y).
    a = tf.where(is_flipped, -one, one)
    c = tf.where(is_flipped, side - 1 - x, x)
    transforms = tf.stack([a, zero, c, zero, one, y, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image,
        transforms=transforms,
        output_shape=[side, side],
        fill_value=0.0,
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )


def _as_bytes(image: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)

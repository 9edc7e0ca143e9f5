"""Test-time views of an image, and how their scores are combined (ResNet, section 3.4).

The softmax is averaged over views; only scores at several positions of one image are averaged before it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

import tf_models
from trainers.data import images


@dataclasses.dataclass(frozen=True)
class Views:
    """One classifier under one test protocol.

    Attributes:
        example: returns the views of an encoded image ([], bytes).
        log_probabilities: maps a batch of `example` outputs to [batch, classes], float32.
        images_at_once: the number of images that a device processes at once, given the number that it can process at
            the task's resolution.
    """

    example: Callable[[tf.Tensor], tf.Tensor | tuple[tf.Tensor, ...]]
    log_probabilities: Callable[[tf.Tensor | tuple[tf.Tensor, ...]], tf.Tensor]
    images_at_once: Callable[[int], int]


def centre_crop(task, model: keras.Model) -> Views:
    """The single crop of `images.evaluation_image`."""
    data, resolution = task.recipe.data, task.recipe.model.resolution
    return Views(
        example=lambda encoded: images.evaluation_image(encoded, data, resolution, task.mean_image),
        log_probabilities=lambda crops: tf.nn.log_softmax(task.logits(model, crops)),
        images_at_once=lambda replica_batch: replica_batch,
    )


def ten_crop(task, model: keras.Model) -> Views:
    """Four corners, the centre, and their mirror images."""
    data, resolution = task.recipe.data, task.recipe.model.resolution

    def log_probabilities(crops):
        each = tf.nn.log_softmax(task.logits(model, tf.reshape(crops, [-1, *crops.shape[2:]])))
        return log_mean(tf.reshape(each, [-1, 10, task.num_classes]), axis=1)

    return Views(
        example=lambda encoded: images.ten_crops(encoded, data, resolution, task.mean_image),
        log_probabilities=log_probabilities,
        images_at_once=lambda replica_batch: max(1, replica_batch // 10),
    )


def multi_scale(task, model: keras.Model) -> Views:
    """Whole images and their mirror images at each of `data.test_scales`.

    The network is applied fully convolutionally; class scores are averaged over positions, following Simonyan &
    Zisserman (2015, section 3.2), as the paper does. Images have different shapes, so the batch size is 1.
    """
    data, network = task.recipe.data, tf_models.fully_convolutional(model)

    def of_scale(image):
        maps = task.logits(network, tf.concat([image, tf.reverse(image, axis=[2])], axis=0))
        return tf.nn.log_softmax(tf.reduce_mean(maps, axis=[1, 2]))

    return Views(
        example=lambda encoded: tuple(
            images.whole_image(encoded, data, scale, task.mean_image) for scale in data.test_scales
        ),
        log_probabilities=lambda scales: log_mean(tf.concat([*map(of_scale, scales)], axis=0), axis=0)[tf.newaxis],
        images_at_once=lambda replica_batch: 1,
    )


PROTOCOLS = {"centre_crop": centre_crop, "ten_crop": ten_crop, "multi_scale": multi_scale}


def log_mean(log_probabilities: tf.Tensor, axis: int) -> tf.Tensor:
    """The logarithm of the mean of probabilities along an axis."""
    count = tf.shape(log_probabilities)[axis]
    return tf.reduce_logsumexp(log_probabilities, axis) - tf.math.log(tf.cast(count, tf.float32))

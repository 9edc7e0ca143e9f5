"""How a classifier is tested: which views of an image it gets, and how their scores become one (ResNet, section 3.4).

A way of testing turns an encoded image into views and a batch of views into log-probabilities, [batch, classes]. The
softmax is averaged over views; only what one network says at several positions of an image is averaged before it.
"""

from __future__ import annotations

import keras
import tensorflow as tf

import tf_models
from trainers.data import images


class CentreCrop:
    """The one crop of `images.evaluation_image`."""

    views = 1

    def __init__(self, task, model: keras.Model):
        self._task = task
        self._model = model

    def images_at_once(self, replica_batch: int) -> int:
        """How many images a replica takes at once, if it may take so many views of the task's resolution."""
        return max(1, replica_batch // self.views)

    def example(self, encoded: tf.Tensor):
        """The views of an encoded image ([], bytes)."""
        task = self._task
        return images.evaluation_image(encoded, task.recipe.data, task.recipe.model.resolution, task.mean_image)

    def log_probabilities(self, views) -> tf.Tensor:
        """From a batch of views: [batch, classes], float32."""
        return tf.nn.log_softmax(self._task.logits(self._model, views))


class TenCrop(CentreCrop):
    """Four corners, the centre, and their mirror images."""

    views = 10

    def example(self, encoded):
        task = self._task
        return images.ten_crops(encoded, task.recipe.data, task.recipe.model.resolution, task.mean_image)

    def log_probabilities(self, views):
        each = super().log_probabilities(tf.reshape(views, [-1, *views.shape[2:]]))
        return log_mean(tf.reshape(each, [-1, self.views, self._task.num_classes]), axis=1)


class MultiScale(CentreCrop):
    """Whole images and their mirror images at every one of `data.test_scales`.

    The network is applied fully convolutionally; class scores are averaged over positions, as Simonyan & Zisserman
    (2015, section 3.2), whom the paper follows, have it. Images have different shapes, so each is a batch of its own.
    """

    def __init__(self, task, model):
        super().__init__(task, tf_models.fully_convolutional(model))

    def images_at_once(self, replica_batch):
        return 1

    def example(self, encoded):
        data, mean_image = self._task.recipe.data, self._task.mean_image
        return tuple(images.whole_image(encoded, data, scale, mean_image) for scale in data.test_scales)

    def log_probabilities(self, views):
        scales = [self._scale(view) for view in views]
        return log_mean(tf.concat(scales, axis=0), axis=0)[tf.newaxis]

    def _scale(self, image: tf.Tensor) -> tf.Tensor:
        """From [1, height, width, 3]: [2, classes], of the image and its mirror image."""
        maps = self._task.logits(self._model, tf.concat([image, tf.reverse(image, axis=[2])], axis=0))
        return tf.nn.log_softmax(tf.reduce_mean(maps, axis=[1, 2]))


PROTOCOLS = {"centre_crop": CentreCrop, "ten_crop": TenCrop, "multi_scale": MultiScale}


def log_mean(log_probabilities: tf.Tensor, axis: int) -> tf.Tensor:
    """The logarithm of the mean of probabilities along an axis."""
    count = tf.shape(log_probabilities)[axis]
    return tf.reduce_logsumexp(log_probabilities, axis) - tf.math.log(tf.cast(count, tf.float32))

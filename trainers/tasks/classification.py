"""Image classification: cross-entropy with label smoothing, top-1 and top-5."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

import tf_models
from flags.recipe import Experiment
from trainers.data import images
from trainers.tasks.views import PROTOCOLS, Views


class Classification:
    """What the loop asks of image classification.

    A batch is a dict: `image` [batch, height, width, 3] in 0..255 (uint8 or float32), less the mean image if there is
    one, `label` [batch] int64, and in evaluation `weight` [batch] (0 for padding).
    """

    metric_names = ("loss", "top1", "top5")
    unit = "example"  # of speed
    selects_by = "top1"
    larger_is_better = True
    protocol_on_the_way = "centre_crop"

    def __init__(
        self, recipe: Experiment, *, num_classes: int, class_names: list[str], mean_image: np.ndarray | None = None
    ):
        self.recipe = recipe
        self.num_classes = num_classes
        self.class_names = class_names
        self.mean_image = mean_image

    @property
    def test_protocol(self) -> str:
        return self.recipe.data.test_protocol

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return (self.recipe.model.resolution, self.recipe.model.resolution, 3)

    def units(self, first: int, steps: int) -> int:
        """How many examples `steps` steps from step `first` on see."""
        return steps * self.recipe.train.global_batch

    def build_model(self) -> keras.Model:
        return tf_models.build_model(
            self.recipe.model.name,
            num_classes=self.num_classes,
            input_shape=self.input_shape,
            **self.recipe.model.options(),
        )

    def training_example(self, example, seed):
        """One undecoded example to one of the batch; `seed` [2] decides the augmentation."""
        image = images.training_image(
            example["image"], seed, self.recipe.data, self.recipe.model.resolution, self.mean_image
        )
        return {"image": image, "label": tf.cast(example["label"], tf.int64)}

    def normalise(self, image):
        """(x - mean) / stddev per channel, on the device: the host sends bytes where it can.

        From images less the mean image, no mean is subtracted again.
        """
        mean = tf.constant(self.recipe.data.mean if self.mean_image is None else 0.0, tf.float32)
        return (tf.cast(image, tf.float32) - mean) * (1.0 / tf.constant(self.recipe.data.stddev, tf.float32))

    def views(self, protocol: str, model: keras.Model) -> Views:
        """How `model` is tested by one of `flags.recipe.Images`'s test protocols."""
        return PROTOCOLS[protocol](self, model)

    def losses(self, model: keras.Model, batch, training: bool):
        """Cross-entropy [batch] against smoothed labels (1 - s) * onehot + s / classes, and `top1`, `top5` [batch]."""
        return self.scores(self.logits(model, batch["image"], training=training), batch["label"])

    def logits(self, model: keras.Model, image, training: bool = False):
        return model(self.normalise(image), training=training)

    def scores(self, logits, labels):
        """`losses` of logits [batch, classes] for labels [batch]."""
        smoothing = self.recipe.train.label_smoothing
        targets = tf.one_hot(
            labels, self.num_classes, 1 - smoothing + smoothing / self.num_classes, smoothing / self.num_classes
        )
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        return losses, {
            "top1": self._in_top(logits, labels, 1),
            "top5": self._in_top(logits, labels, 5),
        }

    def _in_top(self, logits, labels, k: int):
        return tf.cast(tf.math.in_top_k(labels, logits, min(k, self.num_classes)), tf.float32)

    def predict(self, model: keras.Model, encoded):
        """Class probabilities of encoded images (JPEG, PNG, GIF, BMP; [batch] strings), preprocessed as in evaluation.

        Returns `probabilities` [batch, classes] float32, `class_ids` [batch, k] int64 best first, and
        `class_names` [batch, k].
        """
        pixels = images.serving_images(encoded, self.recipe.data, self.recipe.model.resolution, self.mean_image)
        probabilities = tf.nn.softmax(self.logits(model, pixels))
        best = tf.math.top_k(probabilities, min(5, self.num_classes))
        return {
            "probabilities": probabilities,
            "class_ids": tf.cast(best.indices, tf.int64),
            "class_names": tf.gather(tf.constant(self.class_names), best.indices),
        }

"""Image classification: cross-entropy with label smoothing, top-1 and top-5."""

from __future__ import annotations

import functools

import keras
import numpy as np
import tensorflow as tf

import tf_models
from flags.recipe import Experiment
from trainers.data import images, stream
from trainers.run.folder import RunFolder
from trainers.tasks.examples import OfExamples
from trainers.tasks.images import mean_image
from trainers.tasks.images.views import PROTOCOLS, Views
from trainers.tasks.shares import check_shares


class Classification(OfExamples):
    """What the loop asks of image classification.

    A batch is a dict: `image` [batch, height, width, 3] in 0..255 (uint8 or float32), less the mean image if there is
    one, `label` [batch] int64, and in evaluation `weight` [batch] (0 for padding).
    """

    metric_names = ("loss", "top1", "top5")
    selects_by = "top1"
    larger_is_better = True
    protocol_on_the_way = "centre_crop"

    def __init__(self, recipe: Experiment, dataset, *, seed: int, mean_image: np.ndarray | None = None):
        self.recipe = recipe
        self.dataset = dataset
        self.num_classes = dataset.num_classes
        self.class_names = list(dataset.class_names)
        self.seed = seed
        self.mean_image = mean_image

    @property
    def test_protocol(self) -> str:
        return self.recipe.data.test_protocol

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return (self.recipe.model.resolution, self.recipe.model.resolution, self.recipe.data.channels)

    @functools.cached_property
    def examples_per_epoch(self) -> int:
        """What the schedule counts as an epoch."""
        data = self.recipe.data
        return data.examples_per_epoch or self.dataset.split(data.train_split).num_examples

    def check_batches(self, replicas: int) -> None:
        """Every replica gets the same share of a step, in `micro_batches` equal parts."""
        train = self.recipe.train
        check_shares("train.global_batch", train.global_batch, replicas, train.micro_batches)
        check_shares("train.eval_batch", train.eval_batch, replicas)

    def build_model(self) -> keras.Model:
        return tf_models.build_model(
            self.recipe.model.name,
            num_classes=self.num_classes,
            input_shape=self.input_shape,
            **self.recipe.model.options(),
        )

    def keep(self, folder: RunFolder) -> None:
        """Writes what a run depends on besides recipe and seed."""
        if self.mean_image is not None:
            mean_image.write(self.mean_image, folder.mean_image)

    def training_batches(self, first_step: int, global_batch: int, context: tf.distribute.InputContext):
        """The batches of one input pipeline from `first_step` on, without end."""
        return stream.training_batches(
            self.dataset.split(self.recipe.data.train_split),
            self.training_example,
            seed=self.seed,
            first_step=first_step,
            global_batch=global_batch,
            shuffle_window=self.recipe.data.shuffle_window,
            context=context,
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
        """How `model` is tested by one of `flags.data.Images`'s test protocols."""
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

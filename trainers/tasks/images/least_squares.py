"""Image classification by a linear head that is solved for: squared error of scores against one-hot labels."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import tensorflow as tf

import tf_models
from trainers.loop.windows import Steps
from trainers.tasks.images.in_memory import InMemoryClassification
from trainers.tasks.shares import check_shares


class LeastSquares(InMemoryClassification):
    """What a run asks of it; images are held in memory, and the one step takes in all of them.

    Images are normalised, and scores given, in float64.
    """

    metric_names = ("squared_error", "top1")
    is_solved = True

    @property
    def steps(self) -> Steps:
        return Steps(total=1, per_epoch=1)

    def units(self, first: int, steps: int) -> int:
        """How many examples `steps` steps from step `first` on see."""
        return steps * self.examples_per_epoch

    def check_batches(self, replicas: int) -> None:
        check_shares("train.eval_batch", self.recipe.train.eval_batch, replicas)

    def build_model(self) -> keras.Model:
        return tf_models.build_model(
            self.recipe.model.name,
            num_classes=self.num_classes,
            input_shape=self.input_shape,
            **{"feature_seed": self.seed, **self.recipe.model.options()},
        )

    def training_images(self) -> Iterator[tf.Tensor]:
        """The normalised images of `training_set`, in its order, `eval_batch` at once."""
        images, batch = self.training_set.images, self.recipe.train.eval_batch
        return (self.normalise(images[begin : begin + batch]) for begin in range(0, len(images), batch))

    def normalise(self, image):
        """(x - mean) / stddev per channel."""
        mean, stddev = (tf.constant(value, tf.float64) for value in (self.recipe.data.mean, self.recipe.data.stddev))
        return (tf.cast(image, tf.float64) - mean) / stddev

    def scores(self, logits, labels):
        """Sums over the classes of (score - onehot)^2, [batch], and `squared_error`, which is the same, and `top1`."""
        differences = logits - tf.one_hot(labels, self.num_classes, dtype=logits.dtype)
        errors = tf.cast(tf.reduce_sum(tf.square(differences), axis=1), tf.float32)
        is_right = tf.equal(tf.argmax(logits, axis=1), tf.cast(labels, tf.int64))
        return errors, {"squared_error": errors, "top1": tf.cast(is_right, tf.float32)}

    def predict(self, model: keras.Model, encoded):
        """As `Classification`; the probabilities are the softmax of the scores, which orders classes and no more."""
        answers = super().predict(model, encoded)
        return answers | {"probabilities": tf.cast(answers["probabilities"], tf.float32)}

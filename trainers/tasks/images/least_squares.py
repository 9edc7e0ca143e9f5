"""Image classification with a closed-form linear head: squared error of scores against one-hot labels."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import tensorflow as tf

import tf_models
from flags.recipe import Experiment
from trainers.loop.closed_form import solve_head
from trainers.loop.state import TrainState
from trainers.loop.windows import RunLength
from trainers.tasks.description import Description
from trainers.tasks.images.in_memory import InMemoryClassification
from trainers.tasks.shares import check_shares


class LeastSquares(InMemoryClassification):
    """A head on fixed features, solved once on all training images.

    Images are normalised, and scores computed, in float64.
    """

    metric_names = ("squared_error", "top1")
    is_closed_form = True

    length = RunLength(total=1, per_epoch=1)

    def units(self, first: int, steps: int) -> int:
        return steps * self.examples_per_epoch

    @classmethod
    def check_replicas(cls, recipe: Experiment, replicas: int) -> None:
        check_shares("train.eval_batch", recipe.train.eval_batch, replicas)

    def build_model(self) -> keras.Model:
        return tf_models.build_model(
            self.recipe.model.name,
            num_classes=self.num_classes,
            input_shape=self.input_shape,
            **{"feature_seed": self.seed, **self.recipe.model.options()},
        )

    def solve(self, model: keras.Model) -> None:
        solve_head(model, self._training_images(), self.training_set.labels, self.recipe.optimizer.weight_decay)

    def _training_images(self) -> Iterator[tf.Tensor]:
        """The normalised images of `training_set`, in order, in batches of `eval_batch`."""
        images, batch = self.training_set.images, self.recipe.train.eval_batch
        return (self.normalise(images[begin : begin + batch]) for begin in range(0, len(images), batch))

    def normalise(self, image):
        """(x - mean) / stddev per channel."""
        mean, stddev = (tf.constant(value, tf.float64) for value in (self.recipe.data.mean, self.recipe.data.stddev))
        return (tf.cast(image, tf.float64) - mean) / stddev

    def scores(self, logits, labels):
        """Sums over the classes of (score - onehot)^2, [batch], also as `squared_error`, and `top1`."""
        differences = logits - tf.one_hot(labels, self.num_classes, dtype=logits.dtype)
        errors = tf.cast(tf.reduce_sum(tf.square(differences), axis=1), tf.float32)
        is_right = tf.equal(tf.argmax(logits, axis=1), tf.cast(labels, tf.int64))
        return errors, {"squared_error": errors, "top1": tf.cast(is_right, tf.float32)}

    def class_probabilities(self, model: keras.Model, encoded):
        """As in `Classification`; the probabilities are the softmax of the scores, meaningful only as a ranking."""
        answers = super().class_probabilities(model, encoded)
        return answers | {"probabilities": tf.cast(answers["probabilities"], tf.float32)}

    def describe(self, state: TrainState, replicas: int) -> Description:
        examples = self.recipe.train.eval_batch // replicas
        return Description(
            length=f"steps  1, which solves for the head on all {self.examples_per_epoch:,} examples",
            examples=examples,
            batch=f"batches of {examples} examples",
            remedy="--set=train.eval_batch=N makes them smaller",
            untrained="fixed at their random values",
        )

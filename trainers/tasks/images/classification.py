"""Image classification: cross-entropy with label smoothing, top-1 and top-5."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

import tf_models
from flags.recipe import Experiment
from trainers.data import images, stream
from trainers.data.sources import GeneratedSource, Source
from trainers.data.synthetic import SyntheticDataSet
from trainers.loop.state import TrainState
from trainers.run.folder import RunFolder
from trainers.run.tensorboard import TensorBoard
from trainers.tasks.description import Description
from trainers.tasks.examples import ExampleTask
from trainers.tasks.images import data, mean_image, prediction
from trainers.tasks.images.data import ImageDataSet
from trainers.tasks.images.evaluation import ImageEvaluation
from trainers.tasks.images.saved_model import ImageSavedModel
from trainers.tasks.images.views import PROTOCOLS, Views
from trainers.tasks.shares import check_shares
from trainers.tasks.task import Opening, Task

MEAN_IMAGE = "mean_image.npy"  # in the run directory, if the recipe subtracts a mean image
SHOWN_INPUTS = 64


class Classification(ExampleTask):
    """Classification of images that are read and decoded on the fly.

    A batch is a dict: `image` [batch, height, width, channels] in 0..255 (uint8 or float32), minus the mean image if
    any, `label` [batch] int64, and in evaluation `weight` [batch] (0 for padding).

    Args:
        mean_image: subtracted from every input; [resolution, resolution, 3], float32. None: subtract `data.mean`.
    """

    metric_names = ("loss", "top1", "top5")
    monitor = "top1"
    validation_protocol = "centre_crop"

    def __init__(
        self,
        recipe: Experiment,
        dataset: ImageDataSet | SyntheticDataSet,
        *,
        seed: int,
        mean_image: np.ndarray | None = None,
    ):
        self.recipe = recipe
        self.dataset = dataset
        self.num_classes = dataset.num_classes
        self.class_names = list(dataset.class_names)
        self.seed = seed
        self.mean_image = mean_image

    @classmethod
    def find_data(cls, name: str, data_dir: str | None) -> Source | GeneratedSource:
        return data.find(name, data_dir)

    @classmethod
    def check_replicas(cls, recipe: Experiment, replicas: int) -> None:
        """Every replica gets the same share of a step, in `micro_batches` equal parts."""
        train = recipe.train
        check_shares("train.global_batch", train.global_batch, replicas, train.micro_batches)
        check_shares("train.eval_batch", train.eval_batch, replicas)

    @classmethod
    def open(cls, recipe: Experiment, opening: Opening) -> Classification:
        dataset = data.open_images(opening.source, seed=opening.seed)
        return cls(recipe, dataset, seed=opening.seed, mean_image=_mean_image(recipe, dataset, opening))

    @property
    def test_protocol(self) -> str:
        return self.recipe.data.test_protocol

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return (self.recipe.model.resolution, self.recipe.model.resolution, self.recipe.data.channels)

    @functools.cached_property
    def examples_per_epoch(self) -> int:
        data = self.recipe.data
        return data.examples_per_epoch or self.dataset.split(data.train_split).num_examples

    def build_model(self) -> keras.Model:
        return tf_models.build_model(
            self.recipe.model.name,
            num_classes=self.num_classes,
            input_shape=self.input_shape,
            **self.recipe.model.options(),
        )

    def assets(self) -> Mapping[str, bytes]:
        return {} if self.mean_image is None else {MEAN_IMAGE: mean_image.as_bytes(self.mean_image)}

    def _batches(self, first_step: int, global_batch: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
        return self._stream(first_step, global_batch, context, self.mean_image)

    def _stream(self, first_step, global_batch, context, mean_image) -> tf.data.Dataset:
        return stream.training_batches(
            self.dataset.split(self.recipe.data.train_split),
            functools.partial(self._training_example, mean_image=mean_image),
            seed=self.seed,
            first_step=first_step,
            global_batch=global_batch,
            shuffle_window=self.recipe.data.shuffle_window,
            context=context,
        )

    def _training_example(self, example, seed, mean_image):
        """Turns an undecoded example into an example of the batch; `seed` [2] determines the augmentation."""
        image = images.training_image(
            example["image"], seed, self.recipe.data, self.recipe.model.resolution, mean_image
        )
        return {"image": image, "label": tf.cast(example["label"], tf.int64)}

    def write_inputs(self, board: TensorBoard) -> None:
        board.images("inputs", self.first_inputs(), 0)

    def first_inputs(self) -> tf.Tensor:
        """The first augmented training images, before mean subtraction: [batch, height, width, channels]."""
        count = min(SHOWN_INPUTS, self.recipe.train.global_batch)
        return next(iter(self._stream(0, count, tf.distribute.InputContext(), None)))["image"]

    def normalise(self, image):
        """(x - mean) / stddev per channel, on the device, so that the host can send bytes.

        If the mean image was subtracted, the mean is not subtracted again.
        """
        mean = tf.constant(self.recipe.data.mean if self.mean_image is None else 0.0, tf.float32)
        return (tf.cast(image, tf.float32) - mean) * (1.0 / tf.constant(self.recipe.data.stddev, tf.float32))

    def losses(self, network: keras.Model, batch, training: bool):
        """Cross-entropy [batch] against smoothed labels (1 - s) * onehot + s / classes, and `top1`, `top5` [batch]."""
        return self.scores(self.logits(network, batch["image"], training=training), batch["label"])

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

    def views(self, protocol: str, model: keras.Model) -> Views:
        """The views of `model` under one of the test protocols of `flags.data.Images`."""
        return PROTOCOLS[protocol](self, model)

    def evaluation(self, protocol: str, strategy: tf.distribute.Strategy, model: keras.Model) -> ImageEvaluation:
        return ImageEvaluation(self, strategy, model, [self.views(protocol, model)])

    @classmethod
    def ensemble(cls, members: Sequence[tuple[Task, keras.Model]], strategy: tf.distribute.Strategy) -> ImageEvaluation:
        task, model = members[0]
        views = [member.views(member.test_protocol, model) for member, model in members]
        return ImageEvaluation(task, strategy, model, views)

    def class_probabilities(self, model: keras.Model, encoded):
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

    def saved_model(self, model: keras.Model) -> ImageSavedModel:
        return ImageSavedModel(self, model)

    def describe(self, state: TrainState, replicas: int) -> Description:
        length, examples = self.length, self._examples_at_once(replicas)
        return Description(
            length=f"steps  {length.total:,} of {self.units(0, 1)} examples: "
            f"{length.total / length.per_epoch:.1f} epochs of {self.examples_per_epoch:,}",
            examples=examples,
            batch=f"micro-batches of {examples} examples",
            remedy="--set=train.micro_batches=N splits them",
        )

    @classmethod
    def predict(cls, recipe: Experiment, folder: RunFolder, files: Sequence[pathlib.Path]) -> None:
        prediction.predict(folder, files)


def _mean_image(recipe: Experiment, dataset, opening: Opening) -> np.ndarray | None:
    """The mean image saved by the run, or that of the training split; None if the recipe does not use one.

    Raises:
        UserError: the file in the run's folder is damaged, or has another resolution.
    """
    if not recipe.data.mean_image:
        return None
    resolution = recipe.model.resolution
    if opening.dry or opening.only_speed:
        return np.zeros([resolution, resolution, 3], np.float32)
    if opening.folder is not None and (kept := opening.folder.path / MEAN_IMAGE).exists():
        return mean_image.read(kept, resolution)
    return mean_image.training_mean(dataset, recipe.data, resolution, data_dir=opening.data_dir, quiet=opening.quiet)

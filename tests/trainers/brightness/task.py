"""The task: data, losses, evaluation, SavedModel, description. Nothing else in the project knows of it."""

import contextlib

import keras
import tensorflow as tf

from trainers.data import stream
from trainers.data.sources import Source
from trainers.loop.evaluation import EvalLoop
from trainers.tasks.description import Description
from trainers.tasks.evaluation import Evaluation
from trainers.tasks.examples import ExampleTask
from trainers.tasks.saved_model import SavedModel
from trainers.tasks.shares import check_shares

FEATURES = {"image": ("image", tf.string)}


class Brightness(ExampleTask):
    """A batch is a dict: `image` [batch, size, size] in 0..1, `brightness` [batch], their means."""

    metric_names = ("loss", "absolute_error")
    monitor = "absolute_error"
    validation_protocol = test_protocol = "whole_image"

    def __init__(self, recipe, source, seed):
        self.recipe = recipe
        self.source = source
        self.seed = seed

    @classmethod
    def find_data(cls, name, data_dir):
        return Source(name, data_dir)

    @classmethod
    def check_replicas(cls, recipe, replicas):
        check_shares("train.global_batch", recipe.train.global_batch, replicas)

    @classmethod
    def open(cls, recipe, opening):
        return cls(recipe, opening.source, opening.seed)

    def check_splits(self):
        for split in ("train_split", "validation_split", "test_split"):
            self.split(getattr(self.recipe.data, split))

    def split(self, expression):
        return self.source.split(expression, FEATURES)

    @property
    def examples_per_epoch(self):
        return self.split(self.recipe.data.train_split).num_examples

    def example(self, example, seed=None):
        size = self.recipe.data.size
        pixels = tf.ensure_shape(tf.io.decode_png(example["image"], channels=1), [28, 28, 1])
        image = tf.image.resize(pixels, [size, size], antialias=True)[:, :, 0] / 255.0
        return {"image": image, "brightness": tf.reduce_mean(image)}

    def _batches(self, first_step, global_batch, context):
        return stream.training_batches(
            self.split(self.recipe.data.train_split),
            self.example,
            seed=self.seed,
            first_step=first_step,
            global_batch=global_batch,
            shuffle_window=1000,
            context=context,
        )

    def build_model(self):
        size = self.recipe.data.size
        inputs = keras.Input([size, size], name="image")
        hidden = keras.layers.Dense(self.recipe.model.units, "relu", name="hidden")(keras.layers.Flatten()(inputs))
        return keras.Model(inputs, keras.layers.Dense(1, name="brightness")(hidden), name="one_hidden_layer")

    def losses(self, network, batch, training):
        errors = network(batch["image"], training=training)[:, 0] - batch["brightness"]
        return tf.square(errors), {"absolute_error": tf.abs(errors)}

    def evaluation(self, protocol, strategy, model):
        return BrightnessEvaluation(self, strategy, model)

    def saved_model(self, model):
        return BrightnessSavedModel(self, model)

    def describe(self, state, replicas):
        return Description(
            length=f"steps  {self.length.total}",
            examples=self.recipe.train.global_batch // replicas,
            batch=f"{self.recipe.train.global_batch // replicas} images",
            remedy="--set=train.global_batch=N takes fewer",
        )


class BrightnessEvaluation(Evaluation):
    def __init__(self, task, strategy, model):
        super().__init__(task, strategy, model)
        self._loop = EvalLoop(strategy=strategy, measure=self._measure, names=task.metric_names)

    def run(self, split, weights=None):
        examples, batch = self._task.split(split), 100
        data = self._strategy.distribute_datasets_from_function(
            lambda context: stream.evaluation_batches(examples, self._task.example, global_batch=batch, context=context)
        )
        with weights or contextlib.nullcontext():
            return self._loop.run(iter(data), -(-examples.num_examples // batch))

    def _measure(self, batch):
        losses, metrics = self._task.losses(self._model, batch, training=False)
        return {"loss": losses, **metrics}


class BrightnessSavedModel(SavedModel):
    answer = "brightnesses"

    def write(self, path):
        self._model.export(str(path), verbose=False)

    def answers(self, path):
        images = tf.random.stateless_uniform([4, self._task.recipe.data.size, self._task.recipe.data.size], [1, 2])
        written = tf.saved_model.load(str(path))
        yield written.serve(images), self._model(images)

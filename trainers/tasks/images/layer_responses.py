"""Standard deviations of layer responses, as in Figure 7 of ResNet (He et al. 2016, section 4.2)."""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_models.deep_graphs import deep_graphs
from trainers.data import stream
from trainers.tasks.images.classification import Classification

BATCH = 100  # images per batch; the responses of 110 layers take 0.4 GB


def measure(task: Classification, strategy: tf.distribute.Strategy, model: keras.Model) -> dict[str, float]:
    """The standard deviation of every main-path batch norm's output, by layer name, in the order of the layers.

    The paper does not say over what. Here it is over all test images, positions and channels, with moving statistics,
    before the nonlinearity and the addition. Projection shortcuts (`*_0_bn`) are excluded.
    """
    norms = [layer for layer in model.layers if layer.name.endswith("_bn") and not layer.name.endswith("_0_bn")]
    with strategy.scope(), deep_graphs():
        responses = keras.Model(model.inputs, [norm.output for norm in norms])
        # Traced explicitly: otherwise TensorFlow mistakes the functions of many runs for retracings of one, and warns.
        batches = _test_batches(task, model)
        total = tf.function(lambda: _sums(responses, task, batches)).get_concrete_function()
        sums = total()
    count, first, second = sums.numpy().T
    variance = second / count - (first / count) ** 2
    return {norm.name: float(value) for norm, value in zip(norms, variance.clip(0) ** 0.5, strict=True)}


def _test_batches(task: Classification, model: keras.Model) -> tf.data.Dataset:
    """The centre crops of the test split: `image` [batch, height, width, 3], and `weight` [batch], 0 for padding."""
    crop = task.views("centre_crop", model).example
    split, context = task.dataset.split(task.recipe.data.test_split), tf.distribute.InputContext()
    return stream.evaluation_batches(
        split, lambda example: {"image": crop(example["image"])}, global_batch=BATCH, context=context
    )


def _sums(responses: keras.Model, task: Classification, batches: tf.data.Dataset) -> tf.Tensor:
    """Count, sum and sum of squares of every output over all batches: [outputs, 3] float64."""
    totals = tf.zeros([len(responses.outputs), 3], tf.float64)
    for batch in batches:
        outputs = tf.nest.flatten(responses(task.normalise(batch["image"]), training=False))
        totals += tf.stack([_moments(output, batch["weight"]) for output in outputs])
    return totals


def _moments(output: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Count, sum and sum of squares over the examples whose weight is 1: [3] float64."""
    weight = tf.cast(weight, tf.float64)
    numbers = tf.cast(tf.reshape(output, [tf.size(weight), -1]), tf.float64)
    each = (tf.ones_like(numbers), numbers, tf.square(numbers))
    return tf.stack([tf.reduce_sum(weight * tf.reduce_sum(values, axis=1)) for values in each])

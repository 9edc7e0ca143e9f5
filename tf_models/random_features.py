"""Random features (Rahimi & Recht 2007) with a linear head, as in Deep Double Descent (arXiv 1912.02292), appendix D.

The features are drawn once and fixed; only the head is fitted. Everything is computed in float64: with as many features
as training examples, the exact solution has huge weights, beyond the precision of float32.

The real part of a complex head gives the scores. The network itself is real: the head's `kernel` has a row for the
cosine and a row for the sine of every feature. Examples are fitted exactly from D = n features on; with ReLU features
only later if many of them are 0 on most examples, as on pixels in 0..1.
"""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from tf_models.arguments import is_number, require, require_classifier, require_counts, require_one_of
from tf_models.layers.counting import Shapes, size
from tf_models.registry import register_model

KINDS = ("complex", "cosine", "relu")
COUNTS = ("input_dim", "num_features")
FEATURES, HEAD = "features", "predictions"  # the layers' names
FREQUENCIES, OFFSETS = 1, 2  # what a generator is for, which is part of its seed


@keras.saving.register_keras_serializable(package="tf_models")
class RandomFeatures(layers.Layer):
    """D features of inputs x [batch, inputs], with frequencies w ~ N(0, scale^2 I) that are not trained.

        complex   exp(-i <w, x>), given as cosines and sines: [batch, 2 D]
        cosine    sqrt(2 / D) cos(<w, x> + b), b ~ U(0, 2 pi): [batch, D]
        relu      max(<w, x>, 0): [batch, D]

    The first features of a seed do not depend on how many are drawn. Frequencies are rounded to float32, so that a file
    is half as large and still exact.
    """

    def __init__(self, num_features: int, kind: str, scale: float, feature_seed: int, **kwargs):
        super().__init__(**{"dtype": "float64", **kwargs})
        self.num_features = num_features
        self.kind = kind
        self.scale = scale
        self.feature_seed = feature_seed

    def build(self, input_shape):
        self.frequencies = self.add_weight(
            name="frequencies",
            shape=(input_shape[-1], self.num_features),
            dtype="float32",
            initializer=self._frequencies,
            trainable=False,
        )
        if self.kind == "cosine":
            self.offsets = self.add_weight(
                name="offsets",
                shape=(self.num_features,),
                dtype="float32",
                initializer=self._offsets,
                trainable=False,
            )

    def call(self, inputs):
        phases = tf.matmul(inputs, tf.cast(self.frequencies, tf.float64))
        if self.kind == "relu":
            return tf.nn.relu(phases)
        if self.kind == "cosine":
            return math.sqrt(2 / self.num_features) * tf.cos(phases + tf.cast(self.offsets, tf.float64))
        return tf.concat([tf.cos(phases), tf.sin(phases)], axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], (2 if self.kind == "complex" else 1) * self.num_features)

    def multiply_adds(self, inputs: Shapes, outputs: Shapes) -> int:
        return size(self.frequencies)

    def numbers(self, outputs: np.ndarray) -> np.ndarray:
        """Converts the layer's outputs to features, real or complex: [batch, D]."""
        if self.kind != "complex":
            return outputs
        cosines, sines = np.split(outputs, 2, axis=1)
        return cosines - 1j * sines

    def head_kernel(self, weights: np.ndarray) -> np.ndarray:
        """Returns the kernel with outputs @ kernel = real(numbers(outputs) @ weights); weights: [D, classes]."""
        # Re((a + ib) exp(-ip)) = a cos p + b sin p
        return np.concatenate([weights.real, weights.imag]) if self.kind == "complex" else weights

    def get_config(self):
        options = ("num_features", "kind", "scale", "feature_seed")
        return {**super().get_config(), **{option: getattr(self, option) for option in options}}

    def _frequencies(self, shape, dtype):
        inputs, features = shape
        draws = np.random.default_rng([FREQUENCIES, self.feature_seed]).standard_normal((features, inputs))
        return tf.constant(self.scale * draws.T, dtype)

    def _offsets(self, shape, dtype):
        draws = np.random.default_rng([OFFSETS, self.feature_seed]).uniform(0, 2 * math.pi, shape)
        return tf.constant(draws, dtype)


@register_model
def random_features(
    num_classes: int = 10,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    num_features: int = 1000,
    kind: str = "complex",
    scale: float | str = "input_dim",
    feature_seed: int = 0,
    name: str = "random_features",
) -> keras.Model:
    """Builds random features of flattened images and a linear head without bias, initialised to 0.

    Args:
        num_classes: number of scores.
        input_shape: (height, width, channels) of the images, which are float64.
        num_features: D; for the kind "complex", the number of complex features.
        kind: "complex" (the paper), "cosine" or "relu"; see `RandomFeatures`.
        scale: standard deviation of the frequencies; or the count whose inverse is their variance, "input_dim"
            (height * width * channels) or "num_features" (the paper's N(0, 1/d) read literally).
        feature_seed: seed of the frequencies.

    Raises:
        ValueError: an argument is out of its range.
    """
    require_classifier(num_classes, input_shape)
    require(None not in input_shape, "input_shape", input_shape, "known: a frequency has a number for every pixel")
    require_counts(num_features=num_features)
    require_one_of(KINDS, kind=kind)
    require(
        scale in COUNTS or (is_number(scale) and scale > 0),
        "scale",
        scale,
        f"a positive number, or one of {', '.join(COUNTS)}",
    )
    counts = {"input_dim": math.prod(input_shape), "num_features": num_features}
    deviation = 1 / math.sqrt(counts[scale]) if scale in COUNTS else float(scale)
    images = keras.Input(tuple(input_shape), dtype="float64")
    x = layers.Flatten(dtype="float64", name="flatten")(images)
    x = RandomFeatures(num_features, kind, deviation, feature_seed, name=FEATURES)(x)
    head = layers.Dense(num_classes, use_bias=False, kernel_initializer="zeros", dtype="float64", name=HEAD)
    return keras.Model(images, head(x), name=name)


def features_of(model: keras.Model) -> keras.Model:
    """Returns the part of a `random_features` model that computes the features."""
    return keras.Model(model.input, model.get_layer(FEATURES).output)

"""A classifier as a network that is applied to whole images of any size, position by position."""

from __future__ import annotations

import keras
from keras import layers

from tf_models.deep_graphs import deep_graphs

POOL = "avg_pool"  # the global pool of every image model here


def fully_convolutional(model: keras.Model) -> keras.Model:
    """Turns a classifier of images of one size into one of larger images, with the same weights, not copies of them.

    The global pool becomes a pool of stride 1 whose window is the map that it averaged, and what follows is applied at
    every position (He et al. 2016, section 3.4, after Simonyan & Zisserman 2015, section 3.2). An image of the model's
    own size has one position, with the model's own logits.

    Returns:
        A model of [batch, height, width, channels] with logits [batch, rows, columns, classes].

    Raises:
        ValueError: the model takes images of any size already, so that its window is unknown.
    """
    rows, columns = model.get_layer(POOL).input.shape[1:3]
    if None in (rows, columns):
        raise ValueError(f"model={model.name!r}: must be built for images of one size, which is the window's")

    def applied_everywhere(layer: keras.Layer) -> keras.Layer:
        if layer.name != POOL:
            return layer
        return layers.AveragePooling2D((rows, columns), strides=1, name=POOL, dtype=layer.dtype_policy)

    images = keras.Input((None, None, model.input.shape[-1]), name=model.input.name)
    with deep_graphs():
        return keras.models.clone_model(model, input_tensors=images, clone_function=applied_everywhere)

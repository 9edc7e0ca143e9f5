"""Applies a classifier convolutionally to whole images of any size."""

from __future__ import annotations

import keras
from keras import layers

from tf_models.deep_graphs import deep_graphs

POOL = "avg_pool"  # name of the global pooling layer of every image model


def fully_convolutional(model: keras.Model) -> keras.Model:
    """Converts a classifier for a fixed image size to larger images; both models share their weights.

    Global pooling is replaced by pooling with stride 1 over windows of the original feature map's size, and the layers
    after it are applied at every position (He et al. 2016, section 3.4, after Simonyan & Zisserman 2015, section 3.2).
    An image of the original size has one position, with the original model's logits.

    Returns:
        A model of [batch, height, width, channels] with logits [batch, rows, columns, classes].

    Raises:
        ValueError: the model already accepts images of any size, so the window's size is unknown.
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

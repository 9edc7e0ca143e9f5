"""Parameters, multiply-adds and memory of a model, counted as the papers count them."""

from __future__ import annotations

import dataclasses
import math

import keras
from keras import layers

from tf_models.deep_graphs import deep_graphs
from tf_models.layers.shortcut import ZeroPaddedIdentity


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Numbers in a model's weights; batch norm's moving statistics are the ones that are not trained."""

    trainable: int
    non_trainable: int

    @property
    def total(self) -> int:
        return self.trainable + self.non_trainable


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """One layer: `output_shape` has None for the batch, `parameters` counts all its weights, trained or not."""

    name: str
    type: str
    output_shape: tuple[int | None, ...]
    parameters: int
    multiply_adds: int


def parameters(model: keras.Model) -> Parameters:
    """Counts the numbers in the weights of `model`."""
    return Parameters(trainable=_size(model.trainable_weights), non_trainable=_size(model.non_trainable_weights))


def multiply_adds(model: keras.Model, input_shape: tuple[int, ...] | None = None) -> int:
    """Counts the multiplications with a weight, each with its addition, that one example takes.

    That is convolutions and matrix products, padding counted like pixels; no biases, normalisation, activations or
    pooling. It is what the EfficientNet paper calls FLOPS.

    Args:
        model: a functional model.
        input_shape: shape of one example; needed if the model was built for images of any size.

    Raises:
        ValueError: sizes are unknown, or a layer has weights that nobody here knows how to count.
    """
    return sum(row.multiply_adds for row in layer_table(model, input_shape))


def layer_table(model: keras.Model, input_shape: tuple[int, ...] | None = None) -> list[LayerRow]:
    """Lists the layers of `model` in order, those of models inside it too. Arguments and errors as `multiply_adds`."""
    if input_shape is not None and tuple(input_shape) != tuple(model.input.shape[1:]):
        with deep_graphs():
            model = keras.models.clone_model(model, input_tensors=keras.Input(tuple(input_shape)))
    rows = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            rows += layer_table(layer)
        elif not isinstance(layer, layers.InputLayer):
            row = LayerRow(
                name=layer.name,
                type=type(layer).__name__,
                output_shape=layer.output.shape,
                parameters=_size(layer.weights),
                multiply_adds=_layer_multiply_adds(layer),
            )
            rows.append(row)
    return rows


def activation_bytes(model: keras.Model, batch: int, element_bytes: int = 4) -> int:
    """Estimates what one training step on `batch` examples keeps in memory between forward and backward pass, in bytes.

    Assumes that every tensor which the gradient of some layer reads is kept once, at `element_bytes` an element: the
    inputs of convolutions, dense layers, normalisation, activations and products; of ReLU the output, which the next
    layer reads too. Sums, global poolings and shape changes keep nothing; dropout's masks (one number an example, or
    pooled features) and the kernels' own room are left out.
    """
    kept = {
        id(tensor): tensor
        for layer in model.layers
        if not isinstance(layer, (layers.InputLayer, keras.Model, *_KEEP_NOTHING))
        for tensor in _list(layer.output if _is_relu(layer) else layer.input)
    }
    inner = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    elements = sum(_elements(tensor.shape[1:], model.name) for tensor in kept.values())
    return batch * element_bytes * elements + sum(activation_bytes(part, batch, element_bytes) for part in inner)


_KEEP_NOTHING = (
    layers.Add,
    layers.Dropout,
    layers.Flatten,
    layers.GlobalAveragePooling2D,
    layers.Reshape,
    layers.Rescaling,
    layers.ZeroPadding2D,
    ZeroPaddedIdentity,
)
_NORMS = (layers.BatchNormalization, layers.GroupNormalization, layers.LayerNormalization)


def _layer_multiply_adds(layer: keras.Layer) -> int:
    if not layer.weights or isinstance(layer, _NORMS):
        return 0
    if isinstance(layer, (layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.DepthwiseConv1D, layers.DepthwiseConv2D)):
        channels_last = layer.data_format == "channels_last"
        positions = layer.output.shape[1:-1] if channels_last else layer.output.shape[2:]
    elif isinstance(layer, layers.Dense):
        positions = layer.output.shape[1:-1]
    else:
        raise ValueError(f"layer {layer.name!r}: multiply_adds does not know how to count a {type(layer).__name__}")
    return math.prod(layer.kernel.shape) * _elements(positions, layer.name)


def _is_relu(layer: keras.Layer) -> bool:
    return isinstance(layer, layers.Activation) and layer.activation is keras.activations.relu


def _elements(shape, owner: str) -> int:
    if None in shape:
        raise ValueError(f"input_shape=None: must be given, for {owner!r} was built for inputs of any size")
    return math.prod(shape)


def _list(tensors) -> list:
    return list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]


def _size(weights) -> int:
    return sum(math.prod(weight.shape) for weight in weights)

"""Parameters, multiply-adds and memory of a model, counted as the papers count them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import keras
from keras import layers

from tf_models.deep_graphs import deep_graphs
from tf_models.layers.counting import Shapes, size


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Parameter counts of a model. Moving statistics of batch norm count as non-trainable."""

    trainable: int
    non_trainable: int

    @property
    def total(self) -> int:
        return self.trainable + self.non_trainable


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """One layer; `parameters` counts trainable and non-trainable weights.

    `output_shape` is that of the first output, with None for the batch size and for the length of a text.
    """

    name: str
    type: str
    output_shape: tuple[int | None, ...]
    parameters: int
    multiply_adds: int


def parameters(model: keras.Model) -> Parameters:
    """Counts the parameters of `model`."""
    return Parameters(trainable=size(*model.trainable_weights), non_trainable=size(*model.non_trainable_weights))


Notes = Callable[[keras.Model], dict[str, int]]
_notes: dict[str, Notes] = {}


def register_parameter_notes(name: str) -> Callable[[Notes], Notes]:
    """Decorator for a function that counts the parameters of network `name` as its authors do."""

    def register(count: Notes) -> Notes:
        _notes[name] = count
        return count

    return register


def parameter_notes(model: keras.Model) -> dict[str, int]:
    """Returns alternative parameter counts of `model` by label; empty for most networks.

    The last one is the count in the paper's table.
    """
    return _notes[model.name](model) if model.name in _notes else {}


def multiply_adds(model: keras.Model, input_shape: tuple[int, ...] | None = None, time: int = 1) -> int:
    """Counts the multiply-adds of one example's forward pass.

    Includes convolutions and matrix products, with padding counted like pixels; excludes biases, normalisation,
    activations and pooling. The EfficientNet paper calls this FLOPS.

    Language models: the count for `time` symbols with full memories. Memory rows count as weights, once as keys and
    once as values; all parts of a split softmax count. Work done once per step, such as value gates, does not count.

    Translation models: the count for a source and a target of `time` symbols each. Every kernel counts once per symbol;
    in attention every query counts 2 * time * width, for its products with all keys and values, including masked ones.

    Args:
        model: a functional model.
        input_shape: shape of one example; required if the model was built for images of any size.
        time: number of symbols per example, for models that read text.

    Raises:
        ValueError: a size is unknown, or a layer with weights is neither a known Keras layer nor defines
            `multiply_adds`.
    """
    return sum(row.multiply_adds for row in layer_table(model, input_shape, time))


def layer_table(model: keras.Model, input_shape: tuple[int, ...] | None = None, time: int = 1) -> list[LayerRow]:
    """Lists the layers of `model` and of nested models in order. Arguments and errors as for `multiply_adds`."""
    if input_shape is not None:
        model = _at_size(model, input_shape)
    known = time if _reads_text(model) else None
    rows = []
    for layer, calls in _calls(model):
        if isinstance(layer, keras.Model):
            tables = [layer_table(_as_called(layer, call), time=time) for call in calls]
            for first, *others in zip(*tables):
                adds = sum(row.multiply_adds for row in (first, *others))
                rows.append(dataclasses.replace(first, multiply_adds=adds))
        else:
            row = LayerRow(
                name=layer.name,
                type=type(layer).__name__,
                output_shape=calls[0].outputs[0].shape,
                parameters=size(*layer.weights),
                multiply_adds=sum(_multiply_adds(layer, call, known) for call in calls) if layer.weights else 0,
            )
            rows.append(row)
    return rows


def activation_bytes(model: keras.Model, batch: int, element_bytes: int = 4, time: int | None = None) -> int:
    """Estimates the bytes that a training step on `batch` examples keeps between forward and backward pass.

    Assumes that every tensor that the gradient of a layer reads is kept once, with `element_bytes` per element: the
    inputs of convolutions, dense layers, normalisation, activations and products; the output of ReLU, which the next
    layer also reads. Sums, global pooling and reshaping keep nothing. Dropout masks of image models (one number per
    example, or pooled features) and workspace of kernels are not included.

    Language models also keep, per symbol: the LSTM's four gates, cell and hidden state, attention weights over the
    whole memory, Boom's hidden layer and its gate, the logits (with a split softmax, those of the head), and dropout
    masks of the size of their inputs. States, logits and standardised values take at least 4 bytes.

    Translation models also keep, per pair: queries, keys, values and their mix, attention weights in float32 and in
    compute precision, standardised values, and the logits of the target.

    Args:
        time: number of symbols per segment, or per source and per translation.

    Raises:
        ValueError: a size is unknown.
    """
    if _reads_text(model) and time is None:
        raise ValueError(f"time=None: must be given, for {model.name!r} reads segments of any length")
    kept, inside, of_inner = {}, 0, 0
    for layer, calls in _calls(model):
        if isinstance(layer, keras.Model):
            of_inner += sum(activation_bytes(_as_called(layer, call), batch, element_bytes) for call in calls)
            continue
        for call in calls:
            kept |= {id(tensor): tensor for tensor in _read_by_gradient(layer, call)}
            inside += _bytes_inside(layer, call, time, element_bytes) if _reads_text(model) else 0
    elements = sum(math.prod(_known(tensor, model.name, time)) for tensor in kept.values())
    return batch * (element_bytes * elements + inside) + of_inner


_KEEP_NOTHING = (
    layers.Add,
    layers.Dropout,
    layers.Flatten,
    layers.GlobalAveragePooling2D,
    layers.Reshape,
    layers.Rescaling,
    layers.ZeroPadding2D,
)
_NORMS = (layers.BatchNormalization, layers.GroupNormalization, layers.LayerNormalization)
_PRODUCTS = (layers.Dense, layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.DepthwiseConv1D, layers.DepthwiseConv2D)


def _calls(model: keras.Model) -> list[tuple[keras.Layer, list]]:
    """Returns the layers of `model` in order, each with its calls: nodes with `input_tensors` and `outputs`."""
    function = getattr(model, "_functional", model)  # a Sequential model contains one
    own = {id(node) for nodes in function._nodes_by_depth.values() for node in nodes}  # a layer may be shared
    return [
        (layer, [node for node in layer._inbound_nodes if id(node) in own])
        for layer in model.layers
        if not isinstance(layer, layers.InputLayer)
    ]


def _at_size(model: keras.Model, input_shape: tuple[int | None, ...]) -> keras.Model:
    """Returns a model of the same layers for inputs of this shape; copies would have to initialise weights."""
    if tuple(input_shape) == tuple(model.input.shape[1:]):
        return model
    images = keras.Input(tuple(input_shape))
    with deep_graphs():
        return keras.models.clone_model(model, input_tensors=images, clone_function=lambda layer: layer)


def _as_called(model: keras.Model, call) -> keras.Model:
    """Returns a nested model, built for the input size of this call."""
    return _at_size(model, call.input_tensors[0].shape[1:]) if len(model.inputs) == 1 else model


def _multiply_adds(layer: keras.Layer, call, time: int | None) -> int:
    """Counts the multiply-adds of one call of a layer with weights; `time` replaces unknown sizes."""
    if hasattr(layer, "multiply_adds"):
        return layer.multiply_adds(*_shapes(layer, call, time))
    if isinstance(layer, _NORMS):
        return 0
    if not isinstance(layer, _PRODUCTS):
        raise ValueError(f"layer {layer.name!r}: multiply_adds does not know how to count a {type(layer).__name__}")
    shape = _known(call.outputs[0], layer.name, time)
    is_channels_first = getattr(layer, "data_format", "channels_last") != "channels_last"
    return size(layer.kernel) * math.prod(shape[1:] if is_channels_first else shape[:-1])


def _read_by_gradient(layer: keras.Layer, call) -> list:
    """Returns the input and output tensors of a call that its gradient reads."""
    is_relu = isinstance(layer, layers.Activation) and layer.activation is keras.activations.relu
    default = "nothing" if isinstance(layer, _KEEP_NOTHING) else "outputs" if is_relu else "inputs"
    tensors = {"nothing": [], "inputs": call.input_tensors, "outputs": call.outputs}
    return [tensor for tensor in tensors[getattr(layer, "gradient_reads", default)] if tensor.dtype != "bool"]


def _bytes_inside(layer: keras.Layer, call, time: int, element_bytes: int) -> int:
    """Returns the bytes that a layer's call keeps per text example, besides its inputs and outputs."""
    if hasattr(layer, "bytes_inside"):
        return layer.bytes_inside(*_shapes(layer, call, time), element_bytes)
    outputs = math.prod(_known(call.outputs[0], layer.name, time))
    if isinstance(layer, layers.Dropout) and layer.rate:
        return element_bytes * outputs  # the mask
    if isinstance(layer, layers.Dense) and layer.activation not in _KEEP_OUTPUTS:
        return element_bytes * 2 * outputs  # the activation's input and its derivative
    return 0


_KEEP_OUTPUTS = (keras.activations.linear, keras.activations.relu)  # which the next layer reads too


def _shapes(layer: keras.Layer, call, time: int | None) -> tuple[Shapes, Shapes]:
    return tuple([_known(tensor, layer.name, time) for tensor in side] for side in (call.input_tensors, call.outputs))


def _reads_text(model: keras.Model) -> bool:
    """Returns whether `model` is a language or translation model, whose texts have any length."""
    return any(tensor.name in ("tokens", "target") for tensor in model.inputs)


def _known(tensor, owner: str, time: int | None) -> tuple[int, ...]:
    """Returns the shape of `tensor` without the batch; `time` replaces unknown sizes."""
    shape = tuple(time if known is None else known for known in tensor.shape[1:])
    if None in shape:
        raise ValueError(f"input_shape=None: must be given, for {owner!r} was built for inputs of any size")
    return shape

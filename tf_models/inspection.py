"""Parameters, multiply-adds and memory of a model, counted as the papers count them."""

from __future__ import annotations

import dataclasses
import math

import keras
from keras import layers

from tf_models.deep_graphs import deep_graphs
from tf_models.layers.attention import CrossAttention, SelfAttention
from tf_models.layers.boom import FoldChunks, quick_gelu
from tf_models.layers.lstm import LSTM
from tf_models.layers.memory_attention import MemoryAttention
from tf_models.layers.positions import PositionedEmbedding
from tf_models.layers.shortcut import ZeroPaddedIdentity
from tf_models.layers.standardise import ScaleAndShift, Standardise
from tf_models.layers.tied_embedding import TiedEmbedding
from tf_models.random_features import RandomFeatures
from tf_models.sha_rnn import CountRows
from tf_models.transformer import AddAndNorm


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Numbers in a model's weights; batch norm's moving statistics are the ones that are not trained."""

    trainable: int
    non_trainable: int

    @property
    def total(self) -> int:
        return self.trainable + self.non_trainable


@dataclasses.dataclass(frozen=True)
class ShaRnnParameters:
    """How many parameters the author's code of SHA-RNN defines for a network.

    Attributes:
        as_defined: all of them; some, which ours has not, it never uses.
        collapsed: those that are left when each value gate is folded into a constant vector, as the paper counts.
    """

    as_defined: int
    collapsed: int


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """One layer: `parameters` counts all its weights, trained or not.

    `output_shape` has None for the batch, and for the time of a text; of several outputs it is the first's.
    """

    name: str
    type: str
    output_shape: tuple[int | None, ...]
    parameters: int
    multiply_adds: int


def parameters(model: keras.Model) -> Parameters:
    """Counts the numbers in the weights of `model`."""
    return Parameters(trainable=_size(model.trainable_weights), non_trainable=_size(model.non_trainable_weights))


def sha_rnn_parameters(model: keras.Model) -> ShaRnnParameters:
    """Counts the parameters of a `sha_rnn` as its author's code defines them.

    Beyond ours: six layer norms in every block, used or not, and four unused vectors in every attention.
    """
    attentions = _of_type(model, MemoryAttention)
    width = model.output["hidden"].shape[-1]
    unused_norms = 6 * len(_of_type(model, LSTM)) - len(_of_type(model, ScaleAndShift))
    as_defined = parameters(model).total + 2 * width * unused_norms + 4 * width * len(attentions)
    folded = sum(_size([layer.value_kernel, layer.value_bias]) for layer in attentions if not layer.collapsed)
    return ShaRnnParameters(as_defined=as_defined, collapsed=as_defined - folded)


def multiply_adds(model: keras.Model, input_shape: tuple[int, ...] | None = None, time: int = 1) -> int:
    """Counts the multiplications with a weight, each with its addition, that one example takes.

    That is convolutions and matrix products, padding counted like pixels; no biases, normalisation, activations or
    pooling. It is what the EfficientNet paper calls FLOPS.

    Of a language model it is what `time` symbols take with full memories, whose rows count as weights, once as keys and
    once as values; of a split softmax all parts count. What is done once a step, such as value gates, does not.

    Of a translation model it is what a source and a target of `time` symbols each take: every kernel counts once a
    symbol, and in attention every query 2 time width: its products with all keys and values, hidden ones as well.

    Args:
        model: a functional model.
        input_shape: shape of one example; needed if the model was built for images of any size.
        time: the symbols of an example's text, where the model reads text.

    Raises:
        ValueError: sizes are unknown, or a layer has weights that nobody here knows how to count.
    """
    return sum(row.multiply_adds for row in layer_table(model, input_shape, time))


def layer_table(model: keras.Model, input_shape: tuple[int, ...] | None = None, time: int = 1) -> list[LayerRow]:
    """Lists the layers of `model` in order, those of models inside it too. Arguments and errors as `multiply_adds`."""
    if input_shape is not None and tuple(input_shape) != tuple(model.input.shape[1:]):
        with deep_graphs():
            model = keras.models.clone_model(model, input_tensors=keras.Input(tuple(input_shape)))
    known = time if _reads_text(model) else None
    rows = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            rows += layer_table(layer, time=time)
        elif not isinstance(layer, layers.InputLayer):
            row = LayerRow(
                name=layer.name,
                type=type(layer).__name__,
                output_shape=_list(layer.output)[0].shape,
                parameters=_size(layer.weights),
                multiply_adds=_layer_multiply_adds(layer, known),
            )
            rows.append(row)
    return rows


def activation_bytes(model: keras.Model, batch: int, element_bytes: int = 4, time: int | None = None) -> int:
    """Estimates what one training step on `batch` examples keeps in memory between forward and backward pass, in bytes.

    Assumes that every tensor which the gradient of some layer reads is kept once, at `element_bytes` an element: the
    inputs of convolutions, dense layers, normalisation, activations and products; of ReLU the output, which the next
    layer reads too. Sums, global poolings and shape changes keep nothing; dropout's masks (one number an example, or
    pooled features) and the kernels' own room are left out.

    Of a language model there are also, of every symbol: an LSTM's four gates, cell and hidden state, attention's
    weights over the whole memory, Boom's middle and its gate, the scores of the softmax (of one with splits, the
    head's), and the masks of dropout, which are as large as what they are multiplied with. States, scores and what is
    standardised take 4 bytes at least.

    Of a translation model there are also, of every pair: attention's queries, keys, values and their mix, its weights
    in float32 and as they are multiplied, what is standardised, and the scores of the target's symbols.

    Args:
        time: the symbols of an example's segment, or of a source and of its translation.

    Raises:
        ValueError: sizes are unknown.
    """
    if _reads_text(model) and time is None:
        raise ValueError(f"time=None: must be given, for {model.name!r} reads segments of any length")
    kept = {
        id(tensor): tensor
        for layer in model.layers
        if not isinstance(layer, (layers.InputLayer, keras.Model, *_KEEP_NOTHING))
        for tensor in _read_by_gradient(layer)
    }
    inner = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    elements = sum(_elements(tensor.shape[1:], model.name, time) for tensor in kept.values())
    inside = sum(_bytes_inside(layer, time, element_bytes) for layer in model.layers) if _reads_text(model) else 0
    of_inner = sum(activation_bytes(part, batch, element_bytes) for part in inner)
    return batch * (element_bytes * elements + inside) + of_inner


_KEEP_NOTHING = (
    AddAndNorm,
    CountRows,
    FoldChunks,
    layers.Add,
    layers.Dropout,
    layers.Flatten,
    layers.GlobalAveragePooling2D,
    layers.Reshape,
    layers.Rescaling,
    layers.ZeroPadding2D,
    ZeroPaddedIdentity,
)
_NORMS = (AddAndNorm, layers.BatchNormalization, layers.GroupNormalization, layers.LayerNormalization, ScaleAndShift)


def _layer_multiply_adds(layer: keras.Layer, time: int | None) -> int:
    """Args: time: what stands for a time that is not known."""
    if not layer.weights or isinstance(layer, _NORMS):
        return 0
    positions = _list(layer.output)[0].shape[1:-1]
    if isinstance(layer, (layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.DepthwiseConv1D, layers.DepthwiseConv2D)):
        if layer.data_format != "channels_last":
            positions = layer.output.shape[2:]
        each = _size([layer.kernel])
    elif isinstance(layer, layers.Dense):
        each = _size([layer.kernel])
    elif isinstance(layer, RandomFeatures):
        each = _size([layer.frequencies])
    elif isinstance(layer, LSTM):
        each = _size([layer.kernel, layer.recurrent_kernel])
    elif isinstance(layer, MemoryAttention):
        _, memory = layer.output
        each = _size([layer.query_kernel]) + 2 * math.prod(memory.shape[1:])
    elif isinstance(layer, TiedEmbedding):
        each = _size([layer.embeddings, *([layer.tombstones] if layer.splits else [])])
    elif isinstance(layer, PositionedEmbedding):
        each = _size([layer.embeddings]) if _gives_scores(layer) else 0
    elif isinstance(layer, (SelfAttention, CrossAttention)):
        kernels = [weight for weight in layer.weights if len(weight.shape) == 2]
        each = _size(kernels) + 2 * _elements(positions, layer.name, time) * layer.output.shape[-1]
    else:
        raise ValueError(f"layer {layer.name!r}: multiply_adds does not know how to count a {type(layer).__name__}")
    return each * _elements(positions, layer.name, time)


def _read_by_gradient(layer: keras.Layer) -> list:
    """What a layer's gradient reads of its inputs and outputs."""
    if isinstance(layer, Standardise) or _is_relu(layer):
        return _list(layer.output)
    return [tensor for tensor in _list(layer.input) if tensor.dtype != "bool"]


def _bytes_inside(layer: keras.Layer, time: int, element_bytes: int) -> int:
    """What a layer keeps of `time` symbols of an example's text, besides its inputs and outputs."""
    exact = max(element_bytes, 4)
    twice = element_bytes + (exact if exact > element_bytes else 0)  # in float32, and as it is used
    masks = 1 if getattr(layer, "rate", 0) else 0  # of dropout
    if isinstance(layer, LSTM):
        return exact * time * 6 * layer.units
    if isinstance(layer, Standardise):
        return exact * time * layer.output.shape[-1] if exact > element_bytes else 0  # else it is the output
    if isinstance(layer, layers.Dense) and layer.activation is quick_gelu:
        return element_bytes * time * 2 * layer.units
    if isinstance(layer, layers.Dropout):
        return element_bytes * time * masks * layer.output.shape[-1]
    if isinstance(layer, MemoryAttention):
        size, width = layer.output[1].shape[1:]
        # Queries before and after their gates, the mix, two masks; weights, their mask, their product; values.
        return element_bytes * (time * (3 + 2 * masks) * width + time * (1 + 2 * masks) * size + size * width)
    if isinstance(layer, TiedEmbedding):
        scores = layer.splits[0] + len(layer.splits) if layer.splits else layer.num_symbols
        return time * (element_bytes * layer.width + exact * scores)
    if isinstance(layer, AddAndNorm):
        return twice * time * layer.output.shape[-1]
    if isinstance(layer, (SelfAttention, CrossAttention)):
        return time * (element_bytes * 4 * layer.output.shape[-1] + twice * layer.heads * time)
    if isinstance(layer, PositionedEmbedding) and _gives_scores(layer):
        also_embeds = len(layer.input.shape) == 2  # its first use
        return time * (element_bytes * layer.width * also_embeds + exact * layer.num_symbols)
    return 0


def _gives_scores(layer: PositionedEmbedding) -> bool:
    """Whether an embedding also serves, or only serves, as the last layer."""
    return any(node.arguments.kwargs.get("reverse") for node in layer._inbound_nodes)


def _is_relu(layer: keras.Layer) -> bool:
    return isinstance(layer, layers.Activation) and layer.activation is keras.activations.relu


def _reads_text(model: keras.Model) -> bool:
    """Whether it is a language or a translation model, whose time is not known."""
    return any(tensor.name in ("tokens", "target") for tensor in model.inputs)


def _of_type(model: keras.Model, kind: type) -> list:
    return [layer for layer in model.layers if isinstance(layer, kind)]


def _elements(shape, owner: str, time: int | None = None) -> int:
    """Args: time: what stands for a size that is not known."""
    sizes = [time if size is None else size for size in shape]
    if None in sizes:
        raise ValueError(f"input_shape=None: must be given, for {owner!r} was built for inputs of any size")
    return math.prod(sizes)


def _list(tensors) -> list:
    return list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]


def _size(weights) -> int:
    return sum(math.prod(weight.shape) for weight in weights)

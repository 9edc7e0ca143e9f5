"""SHA-RNN (Merity 2019, arXiv 1911.11423): LSTMs, single-headed attention over a long memory, and Boom layers.

Follows the author's code (commit 218d748 of Smerity/sha-rnn), also where the paper's text differs. The state (hidden
and cell states of the LSTMs, memories of attention) is an input and an output of the model, so that a training loop can
carry, split, save and reset it.
"""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import layers

from tf_models import inspection
from tf_models.arguments import is_count, require, require_counts, require_rates
from tf_models.layers.boom import FoldChunks, quick_gelu
from tf_models.layers.counting import size
from tf_models.layers.lstm import LSTM
from tf_models.layers.memory_attention import MemoryAttention
from tf_models.layers.noise import Dropout
from tf_models.layers.standardise import ScaleAndShift, Standardise
from tf_models.layers.tied_embedding import TiedEmbedding
from tf_models.registry import register_model

MEMORY_ROWS = "memory_rows"  # of the state: how many rows of every memory are filled


@register_model
def sha_rnn(
    *,
    num_classes: int,
    width: int = 1024,
    boom_width: int = 4096,
    num_layers: int = 4,
    attention_layers: tuple[int, ...] = (2,),
    memory_size: int = 5000,
    input_dropout: float = 0.1,
    hidden_dropout: float = 0.1,
    dropout: float = 0.1,
    softmax_splits: tuple[int, ...] = (),
    collapsed: bool = False,
) -> keras.Model:
    """Builds SHA-RNN over a vocabulary of `num_classes` symbols.

    The model maps {"tokens": [batch, time] int32, "state": state} to {"logits": [batch, time, symbols] of the next
    symbol, "hidden": [batch, time, width], from which they are computed, "state": the state after the last token}. A
    state is a dict: `block{i}_h`, `block{i}_c` [batch, width]; for each block with attention `block{i}_memory`
    [batch, memory_size, width], newest row last; `memory_rows` [batch] int32. `tf_models.empty_state` returns the
    initial state.

    Args:
        boom_width: hidden features of the Boom layer; 0: no Boom.
        attention_layers: indices of the blocks with attention, from 0.
        memory_size: number of past tokens that attention sees, including those of the segment.
        input_dropout, hidden_dropout, dropout: rates on embeddings; within blocks (seven sites); on the last output.
        softmax_splits: splits of a large vocabulary (`TiedEmbedding`); logits are then log probabilities.
        collapsed: whether value gates are constant vectors, as after training; see `collapse`.
    """
    require_counts(num_classes=num_classes, width=width, num_layers=num_layers, memory_size=memory_size)
    require_rates(input_dropout=input_dropout, hidden_dropout=hidden_dropout, dropout=dropout)
    attention_layers = tuple(sorted(attention_layers))
    are_blocks = all(layer in range(num_layers) for layer in attention_layers)
    require(are_blocks, "attention_layers", attention_layers, f"among 0..{num_layers - 1}")
    fits = boom_width == 0 or (is_count(boom_width) and boom_width >= width)
    require(fits, "boom_width", boom_width, f"0 or at least width={width}")
    inputs = _Inputs(width, num_layers, {layer: memory_size for layer in attention_layers})
    initial_std = 0.1 * width**-0.5
    embedding = TiedEmbedding(num_classes, width, softmax_splits, initial_std, name="embedding")
    h = Dropout(input_dropout, name="embedding_drop")(embedding(inputs.tokens))
    for i in range(num_layers):
        name = f"block{i}"
        u = _layer_norm(_standardised(h, f"{name}_lstm"), f"{name}_lstm_norm")
        r = inputs.lstm(u, i, width)
        r = Dropout(hidden_dropout, name=f"{name}_lstm_drop")(r)
        if i in attention_layers:
            z = _standardised(r, f"{name}_attention")
            m, a = _layer_norm(z, f"{name}_memory_norm"), _layer_norm(z, f"{name}_attention_norm")
            attention = MemoryAttention(hidden_dropout, collapsed, initial_std, name=f"{name}_attention")
            mix = inputs.attend(attention, a, m, i)
            r = layers.add([Dropout(hidden_dropout, name=f"{name}_attention_drop")(mix), a], name=f"{name}_attended")
        if boom_width:
            z = _standardised(r, f"{name}_boom")
            p, f = _layer_norm(z, f"{name}_residual_norm"), _layer_norm(z, f"{name}_boom_norm")
            h = layers.add([p, _boom(f, width, boom_width, hidden_dropout, initial_std, name)], name=f"{name}_out")
        else:
            h = r
    return inputs.model(h, embedding, dropout, name="sha_rnn")


@register_model
def plain_lstm(
    *,
    num_classes: int,
    width: int = 1296,
    num_layers: int = 4,
    input_dropout: float = 0.1,
    hidden_dropout: float = 0.1,
    dropout: float = 0.1,
) -> keras.Model:
    """Builds a stack of LSTMs with a tied softmax; at width 1296 it has as many parameters as SHA-RNN at 1024.

    Inputs and outputs are as in `sha_rnn`.
    """
    require_counts(num_classes=num_classes, width=width, num_layers=num_layers)
    require_rates(input_dropout=input_dropout, hidden_dropout=hidden_dropout, dropout=dropout)
    inputs = _Inputs(width, num_layers, {})
    embedding = TiedEmbedding(num_classes, width, initial_std=0.1 * width**-0.5, name="embedding")
    h = Dropout(input_dropout, name="embedding_drop")(embedding(inputs.tokens))
    for i in range(num_layers):
        h = Dropout(hidden_dropout, name=f"block{i}_lstm_drop")(inputs.lstm(h, i, width))
    return inputs.model(h, embedding, dropout, name="plain_lstm")


@inspection.register_parameter_notes("sha_rnn")
def parameter_notes(model: keras.Model) -> dict[str, int]:
    """Returns the number of parameters that the author's code defines, and the number that the paper counts.

    The author's code also has six layer norms in every block, used or not, and four unused vectors in every attention.
    The paper counts the parameters that remain when each value gate is folded into a constant vector.
    """
    attentions, lstms, norms = (
        [layer for layer in model.layers if isinstance(layer, kind)] for kind in (MemoryAttention, LSTM, ScaleAndShift)
    )
    width = model.output["hidden"].shape[-1]
    unused_norms = 6 * len(lstms) - len(norms)
    defined = inspection.parameters(model).total + 2 * width * unused_norms + 4 * width * len(attentions)
    folded = sum(size(layer.value_kernel, layer.value_bias) for layer in attentions if not layer.collapsed)
    return {"defined by the author's code": defined, "of these, with value gates folded": defined - folded}


def collapse(model: keras.Model) -> keras.Model:
    """Returns an equivalent model with constant value gates: 2 d^2 + 2 d fewer parameters per block with attention.

    The author's code defines this step for use after training, but does not call it.
    """

    def collapsed(layer):
        config = layer.get_config()
        return type(layer).from_config({**config, "collapsed": True} if "collapsed" in config else config)

    copy = keras.models.clone_model(model, clone_function=collapsed)
    for ours, theirs in zip(copy.layers, model.layers):
        if isinstance(theirs, MemoryAttention) and not theirs.collapsed:
            gate = theirs.value()
            weights = {weight.name: weight for weight in theirs.weights}
            for weight in ours.weights:
                weight.assign(gate if weight.name == "value_gate" else weights[weight.name])
        else:
            ours.set_weights(theirs.get_weights())
    return copy


class _Inputs:
    """The inputs of a model under construction, and its output state."""

    def __init__(self, width: int, num_layers: int, memories: dict[int, int]):
        self.tokens = keras.Input([None], dtype="int32", name="tokens")
        shapes = {f"block{i}_{part}": [width] for i in range(num_layers) for part in "hc"}
        shapes |= {f"block{i}_memory": [size, width] for i, size in memories.items()}
        # As precise as weights are, whatever the policy computes in: it is carried over a whole text.
        precise = keras.config.dtype_policy().variable_dtype
        self.state = {name: keras.Input(shape, name=name, dtype=precise) for name, shape in shapes.items()}
        self.after = {}
        if memories:
            self.state[MEMORY_ROWS] = keras.Input([], dtype="int32", name=MEMORY_ROWS)
            self.after[MEMORY_ROWS] = CountRows(max(memories.values()), name=f"next_{MEMORY_ROWS}")(
                self.state[MEMORY_ROWS], self.tokens
            )

    def lstm(self, sequence, i: int, width: int):
        name = f"block{i}"
        state = (self.state[f"{name}_h"], self.state[f"{name}_c"])
        sequence, *after = LSTM(width, use_recurrent_bias=True, name=f"{name}_lstm")(sequence, state)
        self.after |= dict(zip((f"{name}_h", f"{name}_c"), after))
        return sequence

    def attend(self, attention: MemoryAttention, a, m, i: int):
        memory = f"block{i}_memory"
        mix, self.after[memory] = attention(a, m, self.state[memory], self.state[MEMORY_ROWS])
        return mix

    def model(self, h, embedding: TiedEmbedding, dropout: float, name: str) -> keras.Model:
        hidden = Dropout(dropout, name="hidden_drop")(h)
        outputs = {"logits": embedding(hidden, reverse=True), "hidden": hidden, "state": self.after}
        return keras.Model({"tokens": self.tokens, "state": self.state}, outputs, name=name)


@keras.saving.register_keras_serializable(package="tf_models")
class CountRows(layers.Layer):
    """Counts the filled rows of a memory of `size` after a segment: rows [batch], tokens [batch, time]."""

    gradient_reads = "nothing"

    def __init__(self, size: int, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, rows, tokens):
        return tf.minimum(rows + tf.shape(tokens)[1], self.size)

    def compute_output_spec(self, rows, tokens):
        return keras.KerasTensor(rows.shape, dtype="int32")

    def get_config(self):
        return {**super().get_config(), "size": self.size}


def _standardised(x, name: str):
    return Standardise(epsilon=1e-12, name=f"{name}_standardise")(x)


def _layer_norm(standardised, name: str):
    return ScaleAndShift(name=name)(standardised)


def _boom(f, width: int, boom_width: int, rate: float, initial_std: float, name: str):
    normal = keras.initializers.RandomNormal(stddev=initial_std)
    y = layers.Dense(boom_width, activation=quick_gelu, kernel_initializer=normal, name=f"{name}_boom")(f)
    y = Dropout(rate, name=f"{name}_boom_drop")(y)
    return Dropout(rate, name=f"{name}_fold_drop")(FoldChunks(width, name=f"{name}_fold")(y))

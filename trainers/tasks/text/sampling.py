"""Sampling text from a language model, symbol by symbol, at a constant cost per symbol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_models.state import empty_state

State = Mapping[str, tf.Tensor]  # as in `tf_models.sha_rnn`
Draw = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # (scores [1, symbols], position) -> ids [1]

COLDEST, HOTTEST = 1e-30, 1e30  # temperatures between which float32 neither overflows nor underflows


class Place(NamedTuple):
    """A position in a text: everything needed to continue from it."""

    state: State  # after all symbols but the last
    last: tf.Tensor  # [1] int32: the last symbol, which the model has not read yet
    drawn: tf.Tensor  # [] int64: number of symbols drawn so far


class Writer:
    """Continues a text. Shapes, and therefore the cost, are the same for every symbol.

    Args:
        model: maps {"tokens", "state"} to {"logits", "state", ...} (`tf_models.sha_rnn`).
        draw: draws the next symbol, given its scores and the number of symbols drawn before.
        segment_length: number of symbols of a prompt to read at once.
    """

    def __init__(self, model: keras.Model, draw: Draw, segment_length: int):
        self._model = model
        self._draw = draw
        self._segment_length = segment_length
        place = Place(state_specs(model, batch=1), tf.TensorSpec([1], tf.int32), tf.TensorSpec([], tf.int64))
        count = tf.TensorSpec([], tf.int32)
        self._write = tf.function(self._draw_symbols, input_signature=[place, count], autograph=False)

    def begin(self, tokens: np.ndarray) -> Place:
        """Reads the prompt [symbols, at least one]; returns the place to continue from."""
        state = state_after(self._model, tokens[:-1], self._segment_length)
        return Place(state, tf.constant(tokens[-1:], tf.int32), tf.zeros([], tf.int64))

    def write(self, place: Place, count: int) -> tuple[np.ndarray, Place]:
        """Returns the next `count` symbols [count] and the place after them; independent of how calls divide the text.

        Raises:
            InvalidArgumentError: the model's scores are not finite.
        """
        symbols, place = self._write(place, count)
        return symbols.numpy(), place

    @property
    def traces(self) -> int:
        """The number of times that writing was traced; more than one is a retracing bug."""
        return self._write.experimental_get_tracing_count()

    def _draw_symbols(self, place, count):
        def step(number, symbols, place):
            outputs = advance(self._model, place.last[:, tf.newaxis], place.state)
            scores = tf.debugging.check_numerics(outputs["logits"][:, 0], "scores of the next symbol")
            last = self._draw(scores, place.drawn)
            return number + 1, symbols.write(number, last[0]), Place(outputs["state"], last, place.drawn + 1)

        symbols = tf.TensorArray(tf.int32, count, element_shape=[])
        _, symbols, place = tf.while_loop(lambda number, *_: number < count, step, (0, symbols, place))
        return symbols.stack(), place


def advance(model: keras.Model, tokens: tf.Tensor, state: State) -> dict[str, tf.Tensor | State]:
    """The model's outputs for tokens [batch, time] after `state`; the next state has the same dtypes and shapes."""
    outputs = model({"tokens": tokens, "state": state}, training=False)
    after = {
        name: tf.ensure_shape(tf.cast(part, state[name].dtype), state[name].shape)
        for name, part in outputs["state"].items()
    }
    return {**outputs, "state": after}


def state_after(model: keras.Model, text: np.ndarray, segment_length: int) -> State:
    """The state after a text [symbols], read from the beginning in segments of at most `segment_length` symbols."""
    specs = [tf.TensorSpec([1, None], tf.int32), state_specs(model, batch=1)]
    read = tf.function(
        lambda tokens, state: advance(model, tokens, state)["state"], input_signature=specs, autograph=False
    )
    tokens, state = tf.constant(text[np.newaxis], tf.int32), empty_state(model, 1)
    for begin in range(0, len(text), segment_length):
        state = read(tokens[:, begin : begin + segment_length], state)
    return state


def state_specs(model: keras.Model, batch: int | None) -> dict[str, tf.TensorSpec]:
    """The dtypes and shapes of the state for `batch` texts (None: any number)."""
    return {
        name: tf.TensorSpec([batch, *part.shape[1:]], part.dtype, name=name)
        for name, part in model.input["state"].items()
    }


def draw(
    scores: tf.Tensor, position: tf.Tensor, *, seed: int, temperature: float, top_k: int | None, top_p: float
) -> tf.Tensor:
    """Draws a symbol from each row of `scores` [batch, symbols]: ids [batch] int32.

    The draw depends only on seed, scores and position, not on earlier draws.
    """
    scores, ids = likeliest(scores, temperature=temperature, top_k=top_k, top_p=top_p)
    seed = tf.stack([tf.constant(seed, tf.int64), tf.cast(position, tf.int64)])
    places = tf.random.stateless_categorical(scores, 1, seed, tf.int32)
    return tf.gather(ids, places, batch_dims=1)[:, 0]


def likeliest(scores: tf.Tensor, *, temperature: float, top_k: int | None, top_p: float) -> tuple[tf.Tensor, tf.Tensor]:
    """The candidates: scores [batch, k], descending, minus infinity for excluded ones, and their ids.

    Scores are divided by `temperature`; the `top_k` highest are kept (all if None); of these, in order of decreasing
    probability, those up to and including the first whose cumulative probability exceeds `top_p` (the nucleus).
    """
    count = scores.shape[-1] if top_k is None else min(top_k, scores.shape[-1])
    scores, ids = tf.math.top_k(scores, count)
    # The highest score is shifted to 0 to prevent overflow.
    scores = (scores - scores[:, :1]) / np.clip(temperature, COLDEST, HOTTEST)
    if top_p < 1:
        before = tf.cumsum(tf.nn.softmax(scores), axis=1, exclusive=True)
        scores = tf.where(before <= top_p, scores, -np.inf)
    return scores, ids

"""Writing with a language model: what it says of the next symbol, a draw from that, and on, at a constant cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_models.state import empty_state

State = Mapping[str, tf.Tensor]  # as in `tf_models.sha_rnn`
Draw = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # (scores [1, symbols], position) -> ids [1]

COLDEST, HOTTEST = 1e-30, 1e30  # temperatures in whose reach float32 neither overflows nor underflows


class Place(NamedTuple):
    """Where in a text the writer is; all that it needs to go on from there."""

    state: State  # after every symbol but the last
    last: tf.Tensor  # [1] int32: the last symbol, which the model has yet to read
    drawn: tf.Tensor  # [] int64: how many symbols were drawn


class Writer:
    """Goes on with a text. Shapes are the same for every symbol, and so is what it costs.

    Args:
        model: maps {"tokens", "state"} to {"logits", "state", ...} (`tf_models.sha_rnn`).
        draw: the next symbol, of its scores and how many were drawn before it.
        segment_length: how many symbols of a given text are read at once.
    """

    def __init__(self, model: keras.Model, draw: Draw, segment_length: int):
        self._model = model
        self._draw = draw
        self._segment_length = segment_length
        place = Place(state_specs(model, batch=1), tf.TensorSpec([1], tf.int32), tf.TensorSpec([], tf.int64))
        count = tf.TensorSpec([], tf.int32)
        self._write = tf.function(self._draw_symbols, input_signature=[place, count], autograph=False)

    def begin(self, tokens: np.ndarray) -> Place:
        """Reads the text [symbols, at least one] that is to be gone on with."""
        state = state_after(self._model, tokens[:-1], self._segment_length)
        return Place(state, tf.constant(tokens[-1:], tf.int32), tf.zeros([], tf.int64))

    def write(self, place: Place, count: int) -> tuple[np.ndarray, Place]:
        """The next `count` symbols [count] and the place after them; the same, however many are written at once.

        Raises:
            InvalidArgumentError: the model's scores are not finite.
        """
        symbols, place = self._write(place, count)
        return symbols.numpy(), place

    @property
    def traces(self) -> int:
        """How often writing was traced; more than once is a retracing bug."""
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
    """The model's outputs for tokens [batch, time] that come after `state`; the next state has its types and shapes."""
    outputs = model({"tokens": tokens, "state": state}, training=False)
    after = {
        name: tf.ensure_shape(tf.cast(part, state[name].dtype), state[name].shape)
        for name, part in outputs["state"].items()
    }
    return {**outputs, "state": after}


def state_after(model: keras.Model, text: np.ndarray, segment_length: int) -> State:
    """The state after a text [symbols], read from its beginning in segments of at most so many symbols."""
    specs = [tf.TensorSpec([1, None], tf.int32), state_specs(model, batch=1)]
    read = tf.function(
        lambda tokens, state: advance(model, tokens, state)["state"], input_signature=specs, autograph=False
    )
    tokens, state = tf.constant(text[np.newaxis], tf.int32), empty_state(model, 1)
    for begin in range(0, len(text), segment_length):
        state = read(tokens[:, begin : begin + segment_length], state)
    return state


def state_specs(model: keras.Model, batch: int | None) -> dict[str, tf.TensorSpec]:
    """The types and shapes of a state of `batch` texts (None: of any number)."""
    return {
        name: tf.TensorSpec([batch, *part.shape[1:]], part.dtype, name=name)
        for name, part in model.input["state"].items()
    }


def draw(
    scores: tf.Tensor, position: tf.Tensor, *, seed: int, temperature: float, top_k: int | None, top_p: float
) -> tf.Tensor:
    """Draws a symbol of each row of `scores` [batch, symbols]: ids [batch] int32.

    The same seed draws the same symbol of the same scores at the same position, whatever was drawn before.
    """
    scores, ids = likeliest(scores, temperature=temperature, top_k=top_k, top_p=top_p)
    seed = tf.stack([tf.constant(seed, tf.int64), tf.cast(position, tf.int64)])
    places = tf.random.stateless_categorical(scores, 1, seed, tf.int32)
    return tf.gather(ids, places, batch_dims=1)[:, 0]


def likeliest(scores: tf.Tensor, *, temperature: float, top_k: int | None, top_p: float) -> tuple[tf.Tensor, tf.Tensor]:
    """What is drawn from: scores [batch, k], falling, minus infinity for what is left out, and the ids they belong to.

    Scores are divided by `temperature`; the `top_k` highest are kept (all if None); and of these, by falling
    probability, those up to the first whose cumulative probability exceeds `top_p`, that one included (the nucleus).
    """
    count = scores.shape[-1] if top_k is None else min(top_k, scores.shape[-1])
    scores, ids = tf.math.top_k(scores, count)
    # The highest score becomes 0, so that none overflows upwards.
    scores = (scores - scores[:, :1]) / np.clip(temperature, COLDEST, HOTTEST)
    if top_p < 1:
        before = tf.cumsum(tf.nn.softmax(scores), axis=1, exclusive=True)
        scores = tf.where(before <= top_p, scores, -np.inf)
    return scores, ids

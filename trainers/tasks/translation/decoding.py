"""Decoding with a Transformer: greedy or beam search, as in fairseq.

The encoder runs once; each further symbol costs one position of the decoder, whose layers cache the keys and values of
earlier positions.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import tensorflow as tf

from tf_models.arguments import is_count, is_number, require
from tf_models.transformer import PADDING, Cache, Network


class Search(NamedTuple):
    """The state of a beam search after `length` symbols of every text."""

    length: tf.Tensor  # [] int32
    texts: tf.Tensor  # [batch, beam, 1 + length] int32: the active texts, most likely first, after `begin`
    log_probabilities: tf.Tensor  # [batch, beam] of the active texts; minus infinity for unused beams
    caches: list[Cache]
    num_ended: tf.Tensor  # [batch] int32: number of finished texts
    best: tf.Tensor  # [batch, length] int32: the finished text with the highest score, padded
    best_score: tf.Tensor  # [batch]; minus infinity if none has finished


class Decoder:
    """Searches for the text with the highest sum of log probabilities / length ** length_penalty for each source.

    Every step considers the `2 beam` most likely continuations of the `beam` active texts, by the sum of their log
    probabilities. A continuation that ends and is among the first `beam` is finished; the `beam` most likely that do
    not end stay active. A source is done when `beam` texts have finished. The last of `max_length` symbols is always
    `end`; `end` counts in a text's length and probability; padding is never a symbol of a text. These are fairseq's
    rules, except that no text is dropped when several end in the same step. With `beam=1` this is greedy search: the
    most likely symbol each time, up to `end`. With as many beams as there are texts of up to `max_length` symbols, the
    search is exhaustive.

    Args:
        model: a `transformer`.
        length_penalty: above 1 favours long texts, below 1 short ones.
        max_length: maximum length of a text in symbols, including `end`.
        begin, end: the symbols before and after a text.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        beam: int = 1,
        length_penalty: float = 1.0,
        max_length: int,
        begin: int,
        end: int,
    ):
        symbols = model.output.shape[-1]
        for name, value in {"beam": beam, "max_length": max_length}.items():
            require(is_count(value), name, value, "an integer of 1 or more")
        require(is_number(length_penalty) and length_penalty >= 0, "length_penalty", length_penalty, "0 or more")
        for name, value in {"begin": begin, "end": end}.items():
            require(is_count(value) and value < symbols, name, value, f"a symbol, 1 to {symbols - 1}")
        self._network = Network(model.layers)
        self._symbols = symbols
        self._beam = beam
        self._length_penalty = length_penalty
        self._max_length = max_length
        self._begin = begin
        self._end = end
        source = tf.TensorSpec([None, None], tf.int32)
        self._decode = tf.function(self._search, input_signature=[source], autograph=False)

    def decode(self, source: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The best texts of sources [batch, source time] int32, padded with 0 at the end.

        Returns:
            Texts [batch, at most max_length] int32, each followed by `end` and padded with 0, and their scores [batch].

        Raises:
            InvalidArgumentError: the model's logits are not finite.
        """
        return self._decode(source)

    @property
    def traces(self) -> int:
        """The number of times that decoding was traced; more than one is a retracing bug."""
        return self._decode.experimental_get_tracing_count()

    def _search(self, source):
        memory, is_text = self._network.encode(source)
        batch = tf.shape(source)[0]
        search = Search(
            length=tf.constant(0),
            texts=tf.fill([batch, self._beam, 1], self._begin),
            # Start with one text, not `beam` copies of it.
            log_probabilities=tf.tile([[0.0, *[float("-inf")] * (self._beam - 1)]], [batch, 1]),
            caches=self._network.begin(memory, self._beam),
            num_ended=tf.zeros([batch], tf.int32),
            best=tf.zeros([batch, 0], tf.int32),
            best_score=tf.fill([batch], float("-inf")),
        )

        def unfinished(search):
            return (search.length < self._max_length) & tf.reduce_any(search.num_ended < self._beam)

        (search,) = tf.while_loop(
            unfinished,
            lambda search: (self._lengthen(search, is_text),),
            (search,),
            shape_invariants=(_invariants(search),),
        )
        return search.best, search.best_score

    def _lengthen(self, search: Search, is_text) -> Search:
        """The search after one more symbol."""
        logits, caches = self._network.step(search.texts[:, :, -1], search.length, search.caches, is_text)
        length = search.length + 1
        sums = search.log_probabilities[:, :, tf.newaxis] + self._log_probabilities(logits, length)
        sums, places = tf.math.top_k(tf.reshape(sums, [-1, self._beam * self._symbols]), 2 * self._beam)
        parents, symbols = places // self._symbols, places % self._symbols
        texts = tf.concat([tf.gather(search.texts, parents, batch_dims=1), symbols[:, :, tf.newaxis]], 2)
        ends = symbols == self._end

        is_first = tf.range(2 * self._beam) < self._beam
        ended = tf.where(ends & is_first, sums, float("-inf"))
        scores = ended / tf.cast(length, tf.float32) ** self._length_penalty
        place = tf.argmax(scores, 1, tf.int32)
        score = tf.gather(scores, place, batch_dims=1)
        # Texts that end after their source is done are ignored.
        is_better = (score > search.best_score) & (search.num_ended < self._beam)
        best = tf.pad(search.best, [[0, 0], [0, 1]], constant_values=PADDING)
        best = tf.where(is_better[:, tf.newaxis], tf.gather(texts, place, batch_dims=1)[:, 1:], best)

        log_probabilities, kept = tf.math.top_k(tf.where(ends, float("-inf"), sums), self._beam)
        return Search(
            length=length,
            texts=tf.gather(texts, kept, batch_dims=1),
            log_probabilities=log_probabilities,
            caches=[self._reordered(cache, tf.gather(parents, kept, batch_dims=1)) for cache in caches],
            num_ended=search.num_ended + tf.reduce_sum(tf.cast(ended > float("-inf"), tf.int32), 1),
            best=best,
            best_score=tf.where(is_better, score, search.best_score),
        )

    def _log_probabilities(self, logits, length):
        """Log probabilities of the next symbol, [batch, beam, symbols] float32; minus infinity for invalid symbols."""
        logits = tf.debugging.check_numerics(tf.cast(logits, tf.float32), "logits of the next symbol")
        ids = tf.range(self._symbols)
        allowed = tf.where(length < self._max_length, ids != PADDING, ids == self._end)
        return tf.where(allowed, tf.nn.log_softmax(logits), float("-inf"))

    def _reordered(self, cache: Cache, parents) -> Cache:
        """Reorders the cache for texts that continue texts `parents` [batch, beam]."""
        if self._beam == 1:
            return cache
        keys, values = (tf.gather(part, parents, batch_dims=1) for part in (cache.keys, cache.values))
        return cache._replace(keys=keys, values=values)


def _invariants(search: Search) -> Search:
    """Shape invariants of the loop, in which only the texts grow."""
    shapes = tf.nest.map_structure(lambda part: part.shape, search)
    batch, beam, heads, _, width = shapes.caches[0].keys
    grown = tf.TensorShape([batch, beam, heads, None, width])
    return shapes._replace(
        texts=tf.TensorShape([batch, beam, None]),
        caches=[cache._replace(keys=grown, values=grown) for cache in shapes.caches],
        best=tf.TensorShape([batch, None]),
    )

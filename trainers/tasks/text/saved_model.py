"""The SavedModel of a language model: maps a text to the next symbol's probabilities and the text's likelihood."""

from __future__ import annotations

import functools
import math
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_models.layers.devices import portable
from tf_models.sha_rnn import collapse
from tf_models.state import empty_state
from trainers.tasks.saved_model import SavedModel
from trainers.tasks.text.data import LINE_END
from trainers.tasks.text.sampling import advance, state_specs
from trainers.tasks.text.symbols import symbol_losses

NO_SYMBOL = -1  # the id of an unknown symbol
UNKNOWN_WORD = b"<unk>"
LINE_BREAKS = r"\r\n?|\n"
# Whitespace for `str.split` that is not whitespace for `tf.strings.split`.
BLANKS = r"[\x1c-\x1f\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
CHECKED_STEPS = 16

Signatures = Mapping[str, Callable[..., dict[str, tf.Tensor]]]


class TextSavedModel(SavedModel):
    """`task` is a `LanguageModelling`."""

    def write(self, path: pathlib.Path) -> None:
        """Exports a model, with collapsed value gates and four signatures, that needs only TensorFlow.

        `serving_default` takes `text` ([batch] strings of any length) and returns the `probabilities` [batch, symbols]
        of the symbol after each, and `bits` [batch], the cost of the text itself; for bytes also `bits_per_character`,
        for words `perplexity` [batch]. A text is read as if it followed a line break, so its first symbol is predicted
        as well, and it may be empty. It is read in segments of the recipe's length, so memory does not grow with it. An
        unknown byte costs infinitely many bits (its probability is 0) and is read as the most frequent one; an unknown
        word is read as <unk>, if the vocabulary has it.

        `symbols` takes no arguments and returns `symbols` [symbols]: the bytes of each id, or column.

        `start` takes `batch` (a number) and returns the parts of the initial state for that many texts. `step` takes
        `token` [batch] int32 and all parts of a state, and returns `logits` [batch, symbols] and the next state.
        """
        dataset, segment_length = self._task.dataset, self._task.recipe.data.segment_length
        with keras.device("cpu:0"):
            model = collapse(self._model)
            encode = (_Bytes if dataset.unit == "byte" else _Words)(dataset.symbols)
        archive = keras.export.ExportArchive()
        archive.track(encode)  # a table of words; tracking it would save the archive's variables twice

        def score(text):
            line_break, _ = encode(tf.constant([b"\n"]))
            ids, lengths = encode(text)
            probabilities, bits = _score(model, segment_length, line_break, ids, lengths)
            per_symbol = tf.math.divide_no_nan(bits, tf.cast(lengths, tf.float32))
            rate = {"bits_per_character": per_symbol} if dataset.unit == "byte" else {"perplexity": 2**per_symbol}
            return {"probabilities": probabilities, "bits": bits, **rate}

        def step(token, state):
            outputs = advance(model, token[:, tf.newaxis], state)
            return {"logits": outputs["logits"][:, 0], **outputs["state"]}

        states = state_specs(model, batch=None)
        with portable():
            archive.add_endpoint("serving_default", score, [tf.TensorSpec([None], tf.string, "text")])
            archive.add_endpoint("symbols", lambda: {"symbols": tf.constant(dataset.symbols)}, [])
            archive.add_endpoint(
                "start", lambda batch: empty_state(model, batch), [tf.TensorSpec([], tf.int32, "batch")]
            )
            archive.add_endpoint("step", step, [tf.TensorSpec([None], tf.int32, "token"), states])
            archive.write_out(str(path), verbose=False)

    def answers(self, path: pathlib.Path) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Probabilities of and after test texts of several lengths, one longer than a segment, and of single steps."""
        served = tf.saved_model.load(str(path)).signatures
        yield from self._texts(served)
        yield from self._steps(served)

    def _texts(self, served: Signatures) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Compares with the live model on single, unpadded texts; a text's symbols enter by their geometric mean."""
        dataset, segment_length = self._task.dataset, self._task.recipe.data.segment_length
        symbols = dataset.tokens(self._task.recipe.data.test_split)
        texts = [symbols[:length] for length in (0, 1, segment_length // 2, segment_length + segment_length // 2)]
        answers = served["serving_default"](text=tf.constant([dataset.decode(text) for text in texts]))
        specs = [tf.TensorSpec(shape, tf.int32) for shape in ([1, 1], [1, None], [1])]
        score = functools.partial(_score, self._model, segment_length)
        score = tf.function(score, input_signature=specs, autograph=False)
        line_break = dataset.encode(b"\n")
        for text, probabilities, bits in zip(texts, answers["probabilities"], answers["bits"]):
            ids = text[np.newaxis].astype(np.int32)
            live_probabilities, live_bits = score(line_break[np.newaxis].astype(np.int32), ids, [len(text)])
            yield probabilities.numpy(), live_probabilities[0].numpy()
            means = [np.exp2(-float(each) / max(len(text), 1)) for each in (bits, live_bits[0])]
            yield tuple(np.array(mean) for mean in means)

    def _steps(self, served: Signatures) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Probabilities after each symbol of a short text."""
        symbols = self._task.dataset.tokens(self._task.recipe.data.test_split)[:CHECKED_STEPS]
        state, live_state = served["start"](batch=tf.constant(1)), empty_state(self._model, 1)
        for symbol in tf.constant(symbols, tf.int32):
            state = served["step"](token=symbol[tf.newaxis], **state)
            live = advance(self._model, symbol[tf.newaxis, tf.newaxis], live_state)
            live_state = live["state"]
            yield tuple(tf.nn.softmax(each).numpy() for each in (state.pop("logits"), live["logits"][:, 0]))


def _score(
    model: keras.Model, segment_length: int, line_break: tf.Tensor, ids: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Probabilities [batch, symbols] of the symbol after each text, and the bits [batch] of all its symbols.

    Args:
        line_break: [1, 1], the id that precedes every text.
        ids: [batch, longest], NO_SYMBOL for unknown symbols; arbitrary after the end of a text.
        lengths: [batch], in symbols.
    """
    batch, total = tf.shape(ids)[0], tf.shape(ids)[1] + 1  # with the line break
    # All segments have the same length: a symbol's context depends on it, and must not depend on the other texts.
    time = tf.minimum(segment_length, total)
    total += -total % time
    padded = tf.pad(ids, [[0, 0], [0, total - tf.shape(ids)[1]]], constant_values=NO_SYMBOL)
    known, targets = padded != NO_SYMBOL, tf.maximum(padded, 0)
    inputs = tf.concat([tf.repeat(tf.maximum(line_break, 0), batch, 0), targets[:, :-1]], 1)

    def segment(begin, state, nats, last):
        end = begin + time
        outputs = advance(model, inputs[:, begin:end], state)
        losses = symbol_losses(model, outputs["hidden"], targets[:, begin:end])
        losses = tf.where(known[:, begin:end], losses, math.inf)
        # A text that has ended is read on into its padding, which is ignored.
        within = tf.range(begin, end) < lengths[:, tf.newaxis]
        nats += tf.reduce_sum(tf.where(within, losses, 0.0), 1)
        place = lengths - begin
        ends = (place >= 0) & (place < time)
        reached = tf.gather(outputs["hidden"], tf.clip_by_value(place, 0, time - 1), batch_dims=1)
        return end, outputs["state"], nats, tf.where(ends[:, tf.newaxis], reached, last)

    embedding = model.get_layer("embedding")
    start = (0, empty_state(model, batch), tf.zeros([batch]), tf.zeros([batch, embedding.width]))
    _, _, nats, last = tf.while_loop(lambda begin, *_: begin < total, segment, start)
    return tf.nn.softmax(embedding(last, reverse=True)), nats / math.log(2.0)


class _Bytes(tf.Module):
    """Turns texts [batch] into ids [batch, longest] and their lengths [batch]; bytes are symbols."""

    def __init__(self, symbols: Sequence[bytes]):
        super().__init__()
        self._ids = np.full([256], NO_SYMBOL, np.int32)
        self._ids[np.frombuffer(b"".join(symbols), np.uint8)] = np.arange(len(symbols))

    def __call__(self, text):
        lengths = tf.strings.length(text)
        longest = tf.maximum(tf.reduce_max(lengths), 1)  # `decode_raw` rejects 0
        content = tf.io.decode_raw(text, tf.uint8, fixed_length=longest)
        return tf.gather(self._ids, tf.cast(content, tf.int32)), lengths


class _Words(tf.Module):
    """Turns texts [batch] into ids [batch, longest] and their lengths [batch]; words and line breaks are symbols."""

    def __init__(self, symbols: Sequence[bytes]):
        super().__init__()
        unknown = symbols.index(UNKNOWN_WORD) if UNKNOWN_WORD in symbols else NO_SYMBOL
        ids = tf.lookup.KeyValueTensorInitializer(symbols, tf.range(len(symbols)))
        self._ids = tf.lookup.StaticHashTable(ids, unknown)

    def __call__(self, text):
        lines = tf.strings.regex_replace(text, LINE_BREAKS, f" {LINE_END} ")
        words = tf.strings.split(tf.strings.regex_replace(lines, BLANKS, " "))
        ids = self._ids.lookup(words)
        return ids.to_tensor(NO_SYMBOL), tf.cast(ids.row_lengths(), tf.int32)

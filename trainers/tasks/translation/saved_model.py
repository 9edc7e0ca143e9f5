"""The SavedModel of a translation model: maps a text to its translation and score, using only TensorFlow."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

import keras
import numpy as np
import sentencepiece
import tensorflow as tf

from flags.errors import RunError
from trainers.run.diverged import diverged
from trainers.tasks.saved_model import SavedModel
from trainers.tasks.text.saved_model import BLANKS
from trainers.tasks.translation.decoding import Decoder
from trainers.tasks.translation.token_batches import padded_sources
from trainers.tasks.translation.translating import longest_translation
from trainers.tasks.translation.vocabulary import BEGIN, BLANK, END, PADDING, UNKNOWN, Subwords

VOCABULARY = "assets.extra/vocabulary.model"  # a folder that TensorFlow reserves for users
UNKNOWN_TEXT = " ⁇ "  # SentencePiece's text for an unknown subword
NO_PIECE = np.iinfo(np.int32).max  # the id of a missing piece
CHECKED_PAIRS = 8


class TranslationSavedModel(SavedModel):
    """`task` is a `Translation`."""

    answer = "scores"

    def write(self, path: pathlib.Path) -> None:
        """Exports a model with four signatures that need only TensorFlow.

        `serving_default` takes `text` ([batch] strings in UTF-8) and returns `translation` [batch] strings, their
        subwords `tokens` [batch, time] int32, and `scores` [batch]: the mean log probability (nats) of a translation's
        subwords. It searches with the recipe's `data.beam`. A translation has at most 1.5 `data.max_length` + 10
        tokens; that of a blank text is empty.

        `encode` takes `text` and returns `tokens`. `translate` takes these as `source` and returns the `tokens` and
        `scores` of translations. `score` takes the tokens `source` and `target`, and returns `nats` [batch]: the cost
        of the translation `target`, including its end.

        Tokens are the ids of SentencePiece for `assets.extra/vocabulary.model`, then 2 (the end) once, then 0.
        """
        model, decoder, text = self._model, self._decoder(), tf.TensorSpec([None], tf.string, "text")

        def tokens(name):
            return tf.TensorSpec([None, None], tf.int32, name)

        with keras.device("cpu:0"):
            subwords = GraphSubwords(self._task.subwords)
        archive = keras.export.ExportArchive()
        archive.track(subwords)  # its table

        def translate(source):
            tokens, scores = decoder.decode(source)
            return {"tokens": tokens, "scores": scores}

        def serve(text):
            source = subwords.encode(text)
            answers = translate(source)
            is_empty = tf.reduce_all(source <= END, 1)
            return {"translation": tf.where(is_empty, "", subwords.decode(answers["tokens"])), **answers}

        def score(source, target):
            return {"nats": _nats(model, source, target)}

        archive.add_endpoint("serving_default", serve, [text])
        archive.add_endpoint("encode", lambda text: {"tokens": subwords.encode(text)}, [text])
        archive.add_endpoint("translate", translate, [tokens("source")])
        archive.add_endpoint("score", score, [tokens("source"), tokens("target")])
        archive.write_out(str(path), verbose=False)
        file = path / VOCABULARY
        file.parent.mkdir()
        file.write_bytes(self._task.subwords.model)

    def answers(self, path: pathlib.Path) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Geometric mean probabilities of the subwords of generated and reference translations of test sentences.

        Raises:
            RunError: texts, translations or tokens differ.
        """
        subwords, sides = self._task.subwords, self._task.dataset.pairs(self._task.recipe.data.test_split)
        texts, references = (list(side[:CHECKED_PAIRS]) for side in sides)
        source, target = (tf.constant(padded_sources(side, subwords)) for side in (texts, references))
        try:
            tokens, scores = self._decoder().decode(source)
        except tf.errors.InvalidArgumentError as error:
            raise diverged(self.answer, then="nothing was exported") from error
        served = tf.saved_model.load(str(path)).signatures
        answers = served["serving_default"](text=tf.constant(texts))
        translations = [subwords.decode(row).encode() for row in tokens.numpy()]
        if not np.array_equal(answers["tokens"], tokens) or answers["translation"].numpy().tolist() != translations:
            raise RunError("the exported model translates differently from the live one: nothing was exported")
        lengths = np.count_nonzero(target, axis=1)
        yield np.exp(answers["scores"]), np.exp(scores)
        nats = served["score"](source=source, target=target)["nats"], _nats(self._model, source, target)
        yield tuple(np.exp(-each / lengths) for each in nats)

    def _decoder(self) -> Decoder:
        data = self._task.recipe.data
        longest = longest_translation(data.max_length)
        return Decoder(self._model, beam=data.beam, max_length=longest, begin=BEGIN, end=END)


def _nats(model: keras.Model, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """The cost of translations [batch, time], with `END` and padded: [batch]."""
    read = tf.pad(target, [[0, 0], [1, 0]], constant_values=BEGIN)[:, :-1]
    logits = model({"source": source, "target": read}, training=False)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits)
    return tf.reduce_sum(tf.where(target == PADDING, 0.0, losses), 1)


class GraphSubwords(tf.Module):
    """`Subwords` in TensorFlow operations, with the same ids for every text and the same text for all ids.

    The cost of a text is quadratic in the length of its longest word.
    """

    def __init__(self, subwords: Subwords):
        super().__init__()
        processor = sentencepiece.SentencePieceProcessor(model_proto=subwords.model)
        pieces = [processor.id_to_piece(i) for i in range(len(subwords))]
        self._surfaces = tf.constant(["", "", "", UNKNOWN_TEXT, *pieces[UNKNOWN + 1 :]])
        ids = range(UNKNOWN + 1, len(pieces))
        table = tf.lookup.KeyValueTensorInitializer(pieces[UNKNOWN + 1 :], tf.constant(ids, tf.int32))
        self._ids = tf.lookup.StaticHashTable(table, UNKNOWN)

    def encode(self, text):
        """Encodes texts [batch] as ids [batch, time], each with `END` and padded."""
        text = tf.strings.regex_replace(text, BLANKS, " ")
        text = tf.strings.regex_replace(text, f"[{BLANK}\\s]+$", "")  # SentencePiece drops it too
        words = tf.strings.split(text)
        different, places = tf.unique(tf.strings.join([BLANK, words.flat_values]))
        ids = tf.gather(self._ids_of_words(different), places)
        ids = words.with_values(ids).merge_dims(1, 2)
        ends = tf.fill([ids.nrows(), 1], END)
        return tf.concat([ids, ends], 1).to_tensor(PADDING)

    def decode(self, tokens):
        """Decodes ids [batch, time], padded after `END`, to texts [batch]."""
        text = tf.strings.reduce_join(tf.gather(self._surfaces, tokens), 1)
        return tf.strings.regex_replace(tf.strings.regex_replace(text, f"^{BLANK}+", ""), BLANK, " ")

    def _ids_of_words(self, words) -> tf.RaggedTensor:
        """The ids of words [words]: their characters, with the most frequent pair merged repeatedly."""
        symbols = tf.strings.unicode_split(words, "UTF-8").to_tensor("")
        symbols = tf.concat([symbols, tf.fill([tf.size(words), 1], "")], 1)
        place = tf.range(tf.shape(symbols)[1])

        def merged(symbols, after, ids):
            first = tf.argmin(ids, 1, tf.int32)[:, tf.newaxis]
            rest = tf.where(place == first, tf.strings.join([symbols, after]), after)
            is_left = (place < first) | (tf.reduce_min(ids, 1, keepdims=True) == NO_PIECE)
            return self._pairs(tf.where(is_left, symbols, rest))

        symbols, _, _ = tf.while_loop(
            lambda symbols, after, ids: tf.reduce_any(ids < NO_PIECE), merged, self._pairs(symbols)
        )
        ids = self._ids.lookup(symbols)
        # SentencePiece uses a single id for a run of unknown characters.
        is_repeated = (ids == UNKNOWN) & (tf.pad(ids, [[0, 0], [1, 0]])[:, :-1] == UNKNOWN)
        return tf.ragged.boolean_mask(ids, (symbols != "") & ~is_repeated)

    def _pairs(self, symbols):
        """Symbols [words, most], their successors, and the ids of the pairs; `NO_PIECE` if a pair is not a subword."""
        after = tf.concat([symbols[:, 1:], tf.fill([tf.shape(symbols)[0], 1], "")], 1)
        ids = self._ids.lookup(tf.strings.join([symbols, after]))
        return symbols, after, tf.where((after != "") & (ids != UNKNOWN), ids, NO_PIECE)

"""Attention weights of a language model on a passage of the test split, with a full memory."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_models.layers.memory_attention import MemoryAttention
from trainers.tasks.text.data import TextDataSet
from trainers.tasks.text.sampling import State, state_after
from trainers.tasks.text.task import LanguageModelling

PASSAGE = {"byte": 80, "word": 40}  # passage length in symbols, limited by the figure's width
AROUND = {"byte": (32, 12), "word": (8, 3)}  # symbols to quote: up to and including a place, and after it
STRETCHES = 5  # parts of the passage; the table shows the strongest look of each
ROWS = 3  # memory rows to show per look
LATIN_END = 0x250  # from this code point on, the figures' font may lack letters
OTHERS = {"\n": "↵"}


def measure(task: LanguageModelling, strategy: tf.distribute.Strategy, model: keras.Model) -> dict[str, Any]:
    """Returns the attention weights of a passage's queries as JSON-compatible lists and numbers.

    `unit`; `passage`, its symbols as text; `begin`, its position in the test split; `memory`, the number of memory rows
    at that point; `edges` [bins + 1] of bins of positions back; `layers`, a dict per attention layer: `layer`, its
    number; `weights` [passage, bins], the largest per bin; `share`, the fraction of all weight on positions before the
    passage; `looks`, the strongest single queries to these: dicts of `back`, `weight`, and the text `read` and `there`.
    """
    dataset = task.dataset
    text = dataset.tokens(task.recipe.data.test_split)
    attentions = [layer for layer in model.layers if isinstance(layer, MemoryAttention)]
    size = max(part.shape[1] for name, part in model.input["state"].items() if name.endswith("_memory"))
    begin = passage_begin(text, dataset.encode(b"\n")[0], size, PASSAGE[dataset.unit])
    end = min(begin + PASSAGE[dataset.unit], len(text))
    with strategy.scope():
        state = state_after(model, text[:begin], task.recipe.data.segment_length)
        weights = _weights(model, attentions, text[begin:end], state)
    distances = [by_distance(layer) for layer in weights]
    edges = bin_edges(distances[0].shape[1])
    return {
        "unit": dataset.unit,
        "passage": [shown(dataset.decode([symbol]), dataset.unit) for symbol in text[begin:end]],
        "begin": begin,
        "memory": min(begin, size),
        "edges": edges.tolist(),
        "layers": [
            {
                "layer": int(attention.name.removeprefix("block").partition("_")[0]),
                "weights": np.maximum.reduceat(distance, edges[:-1], axis=1).round(6).tolist(),
                "share": round(float(_before(distance).sum(axis=1).mean()), 6),
                "looks": looks(dataset, text, begin, distance),
            }
            for attention, distance in zip(attentions, distances)
        ],
    }


def passage_begin(text: np.ndarray, line_break: int, memory: int, length: int) -> int:
    """The start of the passage: the first line after `memory` symbols that is followed by enough text.

    Without such a line, directly after them; in a text [symbols] that is too short, the passage is its end.
    """
    last = max(len(text) - length, 0)
    first = min(memory, last)
    begins = np.arange(max(first, 1), last + 1)
    lines = begins[(text[begins - 1] == line_break) & (text[begins] != line_break)]
    return int(lines[0]) if len(lines) else first


def by_distance(weights: np.ndarray) -> np.ndarray:
    """Reorders weights [queries, rows], newest row last, by positions back from the query; 0 for missing rows."""
    queries, rows = weights.shape
    query, back = np.indices(weights.shape)
    column = rows - queries + query - back
    return np.where(column >= 0, weights[query, column.clip(0)], 0.0)


def bin_edges(positions: int) -> np.ndarray:
    """Edges of bins over 0..positions - 1 that widen with the distance: four bins per factor of two."""
    octaves = [2**octave + quarter * 2 ** (octave - 2) for octave in range(2, 40) for quarter in range(4)]
    return np.array([*(edge for edge in (0, 1, 2, 3, *octaves) if edge < positions), positions])


def looks(dataset: TextDataSet, text: np.ndarray, begin: int, distance: np.ndarray) -> list[dict[str, Any]]:
    """The query of each part of the passage with the strongest look before the passage, and its `ROWS` largest weights.

    Args:
        begin: start of the passage in the text [symbols].
        distance: weights by positions back [passage, positions].
    """
    old, found = _before(distance), []
    for stretch in np.array_split(np.arange(len(old)), STRETCHES):
        query = stretch[old[stretch].max(axis=1).argmax()]
        for back in np.argsort(-old[query], kind="stable")[:ROWS]:
            if old[query, back] > 0:
                found.append(
                    {
                        "back": int(back),
                        "weight": round(float(old[query, back]), 6),
                        "read": _around(dataset, text, begin + query),
                        "there": _around(dataset, text, begin + query - back),
                    }
                )
    return found


def shown(content: bytes, unit: str) -> str:
    """Formats text for a figure: ↵ for a line break, □ for characters that the font lacks."""
    text = content.decode("utf-8", "replace").removesuffix(" " if unit == "word" else "")
    return "".join(c if c.isprintable() and ord(c) < LATIN_END else OTHERS.get(c, "□") for c in text)


def _weights(
    model: keras.Model, attentions: list[MemoryAttention], passage: np.ndarray, state: State
) -> list[np.ndarray]:
    """The weights of the passage's queries for each attention layer: [passage, rows] float32."""
    model_of_inputs = keras.Model(model.input, {attention.name: attention.input for attention in attentions})
    inputs = model_of_inputs({"tokens": tf.constant(passage[np.newaxis], tf.int32), "state": state}, training=False)
    each = [attention.attention_weights(*inputs[attention.name]) for attention in attentions]
    return [tf.cast(weights[0], tf.float32).numpy() for weights in each]


def _before(distance: np.ndarray) -> np.ndarray:
    """Keeps the weights [passage, positions] of positions before the passage, and sets the others to 0."""
    query, back = np.indices(distance.shape)
    return np.where(back > query, distance, 0.0)


def _around(dataset: TextDataSet, text: np.ndarray, place: int) -> str:
    """The text before and after a place: "United‖ States"."""
    before, after = AROUND[dataset.unit]
    parts = (text[max(place + 1 - before, 0) : place + 1], text[place + 1 : place + 1 + after])
    return "‖".join(shown(dataset.decode(part), dataset.unit) for part in parts)

"""What the attention of a language model looks at while it reads a passage of the test part, its memory full."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_models.layers.memory_attention import MemoryAttention
from trainers.tasks.text.data import TextDataSet
from trainers.tasks.text.sampling import State, state_after
from trainers.tasks.text.task import LanguageModelling

PASSAGE = {"byte": 80, "word": 40}  # symbols that a figure has room for
AROUND = {"byte": (32, 12), "word": (8, 3)}  # symbols that are quoted: before a place, its own included, and after it
STRETCHES = 5  # of the passage; a table has the strongest look of each,
ROWS = 3  # and so many rows of it
LATIN_END = 0x250  # from here on the figures' font may lack a letter
OTHERS = {"\n": "↵"}


def measure(task: LanguageModelling, strategy: tf.distribute.Strategy, model: keras.Model) -> dict[str, Any]:
    """The weights of a passage's queries, as lists and numbers that JSON has.

    `unit`; `passage`, its symbols as text; `begin`, its place in the test part; `memory`, how many rows the memory has
    there; `edges` [bins + 1] of bins of positions back; `layers`, a dict for each with attention: `layer`, its number;
    `weights` [passage, bins], the largest in each bin; `share`, the part of all weight that goes to what is before the
    passage; `looks`, what single queries see there: dicts of `back`, `weight`, and the text around, `read` and `there`.
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
    """Where the passage begins: at the first line after `memory` symbols, if one is there that is long enough.

    Without such a line at once after them; in a text [symbols] that is too short, so that the passage ends it.
    """
    last = max(len(text) - length, 0)
    first = min(memory, last)
    begins = np.arange(max(first, 1), last + 1)
    lines = begins[(text[begins - 1] == line_break) & (text[begins] != line_break)]
    return int(lines[0]) if len(lines) else first


def by_distance(weights: np.ndarray) -> np.ndarray:
    """Weights [queries, rows], newest row last, by positions back from the query; 0 where there is none."""
    queries, rows = weights.shape
    query, back = np.indices(weights.shape)
    column = rows - queries + query - back
    return np.where(column >= 0, weights[query, column.clip(0)], 0.0)


def bin_edges(positions: int) -> np.ndarray:
    """Edges of bins over 0..positions - 1 that grow with the distance: four between a power of two and the next."""
    octaves = [2**octave + quarter * 2 ** (octave - 2) for octave in range(2, 40) for quarter in range(4)]
    return np.array([*(edge for edge in (0, 1, 2, 3, *octaves) if edge < positions), positions])


def looks(dataset: TextDataSet, text: np.ndarray, begin: int, distance: np.ndarray) -> list[dict[str, Any]]:
    """The strongest look at what is before the passage from each stretch of it; the `ROWS` largest weights of each.

    Args:
        begin: of the passage in the text [symbols].
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
    """A symbol, or a stretch of text, for a figure: ↵ for a line break, □ for what has no letter of its own there."""
    text = content.decode("utf-8", "replace").removesuffix(" " if unit == "word" else "")
    return "".join(c if c.isprintable() and ord(c) < LATIN_END else OTHERS.get(c, "□") for c in text)


def _weights(
    model: keras.Model, attentions: list[MemoryAttention], passage: np.ndarray, state: State
) -> list[np.ndarray]:
    """Of each attention the weights of the passage's queries: [passage, rows] float32."""
    model_of_inputs = keras.Model(model.input, {attention.name: attention.input for attention in attentions})
    inputs = model_of_inputs({"tokens": tf.constant(passage[np.newaxis], tf.int32), "state": state}, training=False)
    each = [attention.attention_weights(*inputs[attention.name]) for attention in attentions]
    return [tf.cast(weights[0], tf.float32).numpy() for weights in each]


def _before(distance: np.ndarray) -> np.ndarray:
    """The weights of positions back [passage, positions] that are before the passage, 0 for the others."""
    query, back = np.indices(distance.shape)
    return np.where(back > query, distance, 0.0)


def _around(dataset: TextDataSet, text: np.ndarray, place: int) -> str:
    """The text up to a place and on from there: "United‖ States"."""
    before, after = AROUND[dataset.unit]
    parts = (text[max(place + 1 - before, 0) : place + 1], text[place + 1 : place + 1 + after])
    return "‖".join(shown(dataset.decode(part), dataset.unit) for part in parts)

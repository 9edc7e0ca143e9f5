"""TensorBoard output of a run: scalars, inputs, the recipe, hparams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from flags import overrides
from flags.recipe import Experiment
from trainers.run.folder import RunFolder


class TensorBoard:
    """Writes a run's `train/` and `eval/` event files."""

    def __init__(self, folder: RunFolder):
        self._writers = {
            "train": tf.summary.create_file_writer(str(folder.train_events)),
            "eval": tf.summary.create_file_writer(str(folder.eval_events)),
        }

    def scalars(self, step: int, split: str, numbers: Mapping[str, float]) -> None:
        """Writes scalars. Those of `fit` (training examples in inference mode) go to `train/`, prefixed with "fit/"."""
        writer, group = (self._writers["train"], "fit/") if split == "fit" else (self._writers[split], "")
        with writer.as_default(step):
            for name, value in numbers.items():
                tf.summary.scalar(group + name, value)

    def recipe(self, recipe: Experiment) -> None:
        """Writes the recipe as a table, and its fields as hparams, so that runs can be compared."""
        fields = overrides.flatten(recipe)
        table = "\n".join(
            ["| field | value |", "|---|---|", *(f"| {path} | {value} |" for path, value in fields.items())]
        )
        with self._writers["train"].as_default(0):
            tf.summary.text("recipe", table)
            hparams.hparams(
                {
                    path: value if isinstance(value, (bool, int, float, str)) else str(value)
                    for path, value in fields.items()
                }
            )

    def images(self, name: str, images, step: int) -> None:
        """Writes a grid of at most 64 images, [batch, height, width, channels] in 0..255."""
        with self._writers["train"].as_default(step):
            tf.summary.image(name, grid(images[:64])[None] / 255.0)

    def texts(self, name: str, texts: Sequence[str], step: int, split: str = "train") -> None:
        """Writes texts verbatim, with line breaks."""
        with self._writers[split].as_default(step):
            tf.summary.text(name, "\n\n".join(f"~~~~\n{text}\n~~~~" for text in texts))

    def flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


def grid(images):
    """Arranges [n, height, width, 3] images in a roughly square grid, float32 in 0..255; empty cells are white."""
    images = tf.clip_by_value(tf.cast(images, tf.float32), 0.0, 255.0)
    count, height, width, channels = images.shape
    columns = int(count**0.5 + 0.999)
    rows = -(-count // columns)
    images = tf.pad(images, [[0, rows * columns - count], [0, 0], [0, 0], [0, 0]], constant_values=255.0)
    images = tf.reshape(images, (rows, columns, height, width, channels))
    return tf.reshape(tf.transpose(images, (0, 2, 1, 3, 4)), (rows * height, columns * width, channels))

"""Predictions of a finished run's SavedModel on image files; printed, and written as JSON lines."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

import tensorflow as tf

from flags.errors import UserError
from tf_models.literal_paths import literal
from trainers.run.files import writing
from trainers.run.folder import RunFolder
from trainers.run.screen import one_line
from trainers.tasks.images import image_files

BATCH = 32
BATCH_PIXELS = 1 << 27  # decoded at once


def predict(folder: RunFolder, files: Sequence[pathlib.Path]) -> None:
    """Prints the most likely classes of every image, and writes `predictions.jsonl` to the run's folder.

    Raises:
        UserError: some files could not be read; the others are predicted.
    """
    with literal(folder.saved_model) as path:
        signature = tf.saved_model.load(path).signatures["serving_default"]
    written = folder.path / "predictions.jsonl"
    unreadable: list[pathlib.Path] = []
    with writing(written) as lines:
        for batch in _batches(files, unreadable, lines):
            answers = signature(images=tf.constant([content for _, content in batch]))
            for (file, _), row in zip(batch, _rows(answers)):
                lines.write(json.dumps({"image": str(file), "classes": row}) + "\n")
                print(f"{one_line(file)}  " + "  ".join(f"{c['name']} {c['probability']:.1%}" for c in row))
    print(f"written: {written}", file=sys.stderr)
    if unreadable:
        raise UserError(
            f"--images: {len(unreadable)} of {len(files)} files could not be read; the others are predicted."
        )


def _batches(
    files: Sequence[pathlib.Path], unreadable: list[pathlib.Path], lines: TextIO
) -> Iterator[list[tuple[pathlib.Path, bytes]]]:
    """The readable files and their contents, a few at a time; reports the others, and adds them to `unreadable`."""
    batch: list[tuple[pathlib.Path, bytes]] = []
    total = 0
    for file in files:
        try:
            content, pixels = image_files.read(file)
        except UserError as error:
            unreadable.append(file)
            print(one_line(error), file=sys.stderr)
            lines.write(json.dumps({"image": str(file), "error": str(error)}) + "\n")
            continue
        if batch and (len(batch) == BATCH or total + pixels > BATCH_PIXELS):
            yield batch
            batch, total = [], 0
        batch.append((file, content))
        total += pixels
    if batch:
        yield batch


def _rows(answers) -> list[list[dict]]:
    probabilities = tf.gather(answers["probabilities"], answers["class_ids"], batch_dims=1).numpy()
    return [
        [{"id": int(i), "name": n.decode(), "probability": float(p)} for i, n, p in zip(ids, names, row)]
        for ids, names, row in zip(answers["class_ids"].numpy(), answers["class_names"].numpy(), probabilities)
    ]

"""Predictions of a finished run's SavedModel on image files; printed, and written as JSON lines."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Sequence

import tensorflow as tf

from flags.errors import UserError
from tf_models.literal_paths import literal
from trainers.run.folder import RunFolder

BATCH = 32


def predict(folder: RunFolder, files: Sequence[pathlib.Path]) -> None:
    """Prints the most likely classes of every image, and writes `predictions.jsonl` to the run's folder."""
    with literal(folder.saved_model) as path:
        signature = tf.saved_model.load(path).signatures["serving_default"]
    images = [_read(file) for file in files]
    written = folder.path / "predictions.jsonl"
    with written.open("w") as lines:
        for first in range(0, len(files), BATCH):
            answers = signature(images=tf.constant(images[first : first + BATCH]))
            for file, row in zip(files[first : first + BATCH], _rows(answers)):
                lines.write(json.dumps({"image": str(file), "classes": row}) + "\n")
                print(f"{file}  " + "  ".join(f"{c['name']} {c['probability']:.1%}" for c in row))
    print(f"written: {written}", file=sys.stderr)


def _read(file: pathlib.Path) -> bytes:
    content = file.read_bytes()
    try:
        tf.io.decode_image(content, channels=3, expand_animations=False)
    except tf.errors.InvalidArgumentError as error:
        raise UserError(f"--images: {file} is not a readable image (JPEG, PNG, BMP or GIF).") from error
    return content


def _rows(answers) -> list[list[dict]]:
    probabilities = tf.gather(answers["probabilities"], answers["class_ids"], batch_dims=1).numpy()
    return [
        [{"id": int(i), "name": n.decode(), "probability": float(p)} for i, n, p in zip(ids, names, row)]
        for ids, names, row in zip(answers["class_ids"].numpy(), answers["class_names"].numpy(), probabilities)
    ]

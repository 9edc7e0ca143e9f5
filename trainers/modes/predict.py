"""`--mode=predict --images=GLOB`: a finished run's SavedModel on image files; printed, and written as JSON lines."""

from __future__ import annotations

import glob
import json
import pathlib
import sys

import tensorflow as tf

from flags.errors import UserError
from flags.run import Run
from trainers.run.folder import RunFolder

BATCH = 32


def predict(run: Run) -> None:
    """Prints the best classes of every image, and writes `predictions.jsonl` into the run's folder."""
    if run.model_dir is None:
        raise UserError(f"--mode=predict: {run.experiment} has no run in runs/. Train it first, or name --model_dir.")
    folder = RunFolder(run.model_dir)
    paths = [path for path in sorted(glob.glob(run.images, recursive=True)) if pathlib.Path(path).is_file()]
    if not paths:
        raise UserError(
            f"--images={run.images}: no file matches. Quote the pattern, for instance --images='photos/*.jpg'."
        )
    if not (folder.saved_model / "saved_model.pb").exists():
        raise UserError(f"{folder.saved_model}: there is no exported model. Let the run end, or use --mode=export.")
    signature = tf.saved_model.load(str(folder.saved_model)).signatures["serving_default"]
    images = [_read(path) for path in paths]
    with open(folder.path / "predictions.jsonl", "w") as file:
        for first in range(0, len(paths), BATCH):
            answers = signature(images=tf.constant(images[first : first + BATCH]))
            for path, row in zip(paths[first : first + BATCH], _rows(answers)):
                file.write(json.dumps({"image": path, "classes": row}) + "\n")
                print(path + "  " + "  ".join(f"{c['name']} {c['probability']:.1%}" for c in row))
    print(f"written: {folder.path / 'predictions.jsonl'}", file=sys.stderr)


def _read(path: str) -> bytes:
    content = pathlib.Path(path).read_bytes()
    try:
        tf.io.decode_image(content, channels=3, expand_animations=False)
    except tf.errors.InvalidArgumentError as error:
        raise UserError(f"--images: {path} is not an image that can be read (JPEG, PNG, BMP or GIF).") from error
    return content


def _rows(answers) -> list[list[dict]]:
    probabilities = tf.gather(answers["probabilities"], answers["class_ids"], batch_dims=1).numpy()
    return [
        [{"id": int(i), "name": n.decode(), "probability": float(p)} for i, n, p in zip(ids, names, row)]
        for ids, names, row in zip(answers["class_ids"].numpy(), answers["class_names"].numpy(), probabilities)
    ]

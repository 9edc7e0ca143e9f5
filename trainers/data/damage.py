"""One-line explanations of TensorFlow and TFDS errors caused by damaged or missing files."""

from __future__ import annotations

import re

import tensorflow as tf

from flags.errors import UserError

DAMAGED = "damaged record file"


def explain(error: Exception) -> UserError | None:
    """Explains an error raised while reading or decoding records; None for any other error."""
    message = str(error)
    if found := re.search(rf"\[{DAMAGED}\] \[(.+?)\]", message):
        return UserError(
            f"{found[1]} could not be read completely: it is damaged or truncated. Copy this file again, or delete the "
            "data set's folder and prepare it again."
        )
    if isinstance(error, tf.errors.NotFoundError | tf.errors.PermissionDeniedError) and ".tfrecord" in message:
        return UserError(f"A file of the data set can no longer be opened: {one_line(error)}")
    if isinstance(error, tf.errors.InvalidArgumentError) and re.search("JPEG|PNG|image file|DecodeImage", message):
        return UserError(f"A record of the data set contains no decodable image: {one_line(error)}")
    return None


def one_line(error: Exception) -> str:
    """An error's message without line breaks and without the additions of TensorFlow and TFDS."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*|Failed to construct dataset .*?\}\": ", "", str(error) or type(error).__name__)
    return " ".join(text.split()).rstrip(".")[:500]

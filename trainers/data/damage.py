"""One line for the user where TensorFlow or TFDS meets a damaged or missing file."""

from __future__ import annotations

import re

import tensorflow as tf

from flags.errors import UserError

DAMAGED = "damaged record file"


def explain(error: Exception) -> UserError | None:
    """The line for an error that came up while records were read or decoded; None if it is another error."""
    message = str(error)
    if found := re.search(rf"\[{DAMAGED}\] \[(.+?)\]", message):
        return UserError(
            f"{found[1]} could not be read to its end: it is damaged or cut short. Copy this file again, or delete the "
            "data set's folder and prepare it anew."
        )
    if isinstance(error, tf.errors.NotFoundError | tf.errors.PermissionDeniedError) and ".tfrecord" in message:
        return UserError(f"A file of the data set cannot be opened any more: {one_line(error)}")
    if isinstance(error, tf.errors.InvalidArgumentError) and re.search("JPEG|PNG|image file|DecodeImage", message):
        return UserError(f"A record of the data set holds no image that can be decoded: {one_line(error)}")
    return None


def one_line(error: Exception) -> str:
    """An error's message without line breaks and without what TensorFlow and TFDS add to it."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*|Failed to construct dataset .*?\}\": ", "", str(error) or type(error).__name__)
    return " ".join(text.split()).rstrip(".")[:500]

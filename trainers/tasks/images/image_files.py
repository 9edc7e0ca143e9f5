"""Reads image files of users for a SavedModel, which takes encoded images and knows nothing of their orientation."""

from __future__ import annotations

import io
import pathlib
import warnings

import PIL.Image
import PIL.ImageOps
import tensorflow as tf

from flags.errors import UserError

AS_THEY_ARE = ("JPEG", "MPO", "PNG", "GIF")  # TensorFlow reads all of these right
ALLOWED = "JPEG, PNG, GIF, BMP, WebP or TIFF"
MOST_BYTES = 1 << 30
ORIENTATION = 0x0112  # EXIF's tag; 1 is upright


def read(file: pathlib.Path) -> tuple[bytes, int]:
    """Reads an image file; returns it encoded, upright and in colours that TensorFlow reads, and its pixels.

    Raises:
        UserError: it is no image, damaged, or too large.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise UserError(f"--images: {file} is larger than {MOST_BYTES:,} bytes. Remove it, or scale it down.")
        content = file.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns at half of the pixels that it refuses
            image = PIL.Image.open(io.BytesIO(content))
        pixels = image.width * image.height
        if image.format not in AS_THEY_ARE or image.getexif().get(ORIENTATION, 1) != 1:
            content = _upright_png(image, file)
        tf.io.decode_image(content, channels=3, expand_animations=False)
    except UserError:
        raise
    except PIL.Image.DecompressionBombError as error:
        most = 2 * PIL.Image.MAX_IMAGE_PIXELS
        raise UserError(f"--images: {file} has more than {most:,} pixels. Scale it down.") from error
    except Exception as error:  # many types: decoders of damaged files raise anything
        raise UserError(f"--images: {file} is not a readable image ({ALLOWED}).") from error
    return content, pixels


def _upright_png(image: PIL.Image.Image, file: pathlib.Path) -> bytes:
    """The first frame of an image, turned as its EXIF orientation says, as the bytes of a PNG."""
    if image.mode in ("I", "F"):
        raise UserError(f"--images: {file} has pixels of 32 bits. Convert it to PNG.")
    image = PIL.ImageOps.exif_transpose(image)
    if image.mode not in ("L", "LA", "RGB", "RGBA", "I;16"):
        image = image.convert("RGB")
    encoded = io.BytesIO()
    image.save(encoded, "PNG", compress_level=1)
    return encoded.getvalue()

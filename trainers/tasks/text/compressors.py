"""Bits per character of general-purpose compressors, as a baseline for language models.

Each matches the command of its name to within a few bytes; Python's gzip is zlib, 0.1 % worse than GNU gzip on
Wikipedia.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable

import zstandard

from flags.errors import UserError

_LONG_WINDOW = 27  # zstd's --long: a window of 2^27 bytes, larger than enwik8


def bits_per_character(text: bytes, after: bytes = b"") -> dict[str, float]:
    """Returns the bits per byte of `text` by compressor: 8 * (size(after + text) - size(after)) / len(text).

    Without `after`, this is the size of the compressed file. With the training text as `after`, a compressor has "read"
    the model's training data within its window: 32 KB in gzip, 900 KB in bzip2, 64 MiB in xz. That takes minutes and
    about 1 GB of memory for 90 MB of training text.

    Raises:
        UserError: `text` is empty.
    """
    if not text:
        raise UserError("there is no text to compress: the evaluated split is empty. Choose another split.")
    before = {name: len(compress(after)) if after else 0 for name, compress in COMPRESSORS.items()}
    return {
        name: 8 * (len(compress(after + text)) - before[name]) / len(text) for name, compress in COMPRESSORS.items()
    }


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, 9, mtime=0)


def _bzip2(data: bytes) -> bytes:
    return bz2.compress(data, 9)


def _xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)


def _zstd(data: bytes) -> bytes:
    # A window that covers the whole text if it exceeds --long's: --long=30 and so on, at most 31.
    window = min(max(_LONG_WINDOW, len(data).bit_length()), zstandard.WINDOWLOG_MAX)
    parameters = zstandard.ZstdCompressionParameters.from_level(19, window_log=window, enable_ldm=True)
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip -9": _gzip,
    "bzip2 -9": _bzip2,
    "xz -9e": _xz,
    "zstd -19 --long": _zstd,
}

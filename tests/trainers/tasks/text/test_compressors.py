"""Compressors by their command lines' sizes, alone and after another text."""

import bz2
import gzip
import lzma

import numpy as np
import pytest
import zstandard

from flags.errors import UserError
from trainers.tasks.text.compressors import bits_per_character

ENGLISH = "\n".join(f"{n} bottles of beer on the wall, {n} bottles of beer." for n in range(500, 0, -1)).encode()
NOISE = np.random.default_rng(0).bytes(60_000)


def test_a_text_alone_takes_the_size_of_its_compressed_file():
    sizes = {
        "gzip -9": len(gzip.compress(ENGLISH, 9)),
        "bzip2 -9": len(bz2.compress(ENGLISH, 9)),
        "xz -9e": len(lzma.compress(ENGLISH, preset=9 | lzma.PRESET_EXTREME)),
        "zstd -19 --long": len(zstandard.compress(ENGLISH, 19)),
    }
    bits = bits_per_character(ENGLISH)
    assert bits == pytest.approx({name: 8 * size / len(ENGLISH) for name, size in sizes.items()})
    assert 0 < min(bits.values()) < max(bits.values()) < 2


def test_after_another_text_only_what_is_added_counts():
    first, second = ENGLISH[:9000], ENGLISH[9000:]
    added = len(bz2.compress(ENGLISH)) - len(bz2.compress(first))
    assert bits_per_character(second, first)["bzip2 -9"] == pytest.approx(8 * added / len(second))


def test_a_text_costs_nearly_nothing_after_itself_where_the_window_reaches_back():
    bits = bits_per_character(NOISE, NOISE)
    assert bits["gzip -9"] > 8  # 60,000 bytes are past its 32 KB
    assert bits["bzip2 -9"] < 2.5  # sorting puts equal bytes side by side, each to be told as "the same again"
    assert max(bits["xz -9e"], bits["zstd -19 --long"]) < 0.2


def test_zstd_looks_back_over_the_whole_training_text():
    far = NOISE + bytes(9_000_000)  # level 19 by itself sees 8 MiB
    assert bits_per_character(NOISE, far)["zstd -19 --long"] < 0.2


def test_an_empty_text_is_refused():
    with pytest.raises(UserError, match="no text to compress"):
        bits_per_character(b"", ENGLISH)

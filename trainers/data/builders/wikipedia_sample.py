"""The embedded sample of the language models: 6.1 MB of the English Wikipedia from the package `gensim`."""

from __future__ import annotations

import bz2
import importlib.util
import pathlib

from trainers.data.builders.byte_records import ByteRecords

FILE = "enwiki-latest-pages-articles1*.bz2"
BYTES = 6_089_746


class WikipediaSample(ByteRecords):
    """XML as in enwik8, split by position: 90 % to train, 5 % to validate, 5 % to test."""

    IS_EMBEDDED = True
    DESCRIPTION = "6,089,746 bytes of an XML dump of the English Wikipedia, read from the package gensim."
    HOMEPAGE = "https://radimrehurek.com/gensim/"

    def _split_generators(self, dl_manager):
        text = bz2.decompress(_file().read_bytes())
        if len(text) != BYTES:
            raise ValueError(f"{_file()} unpacks to {len(text):,} bytes instead of {BYTES:,}. Install gensim 4 again")
        return self._cut(text, BYTES * 90 // 100, BYTES * 95 // 100)


def _file() -> pathlib.Path:
    """The file in the installed package, found without importing it."""
    package = importlib.util.find_spec("gensim")
    if package is None:
        raise ModuleNotFoundError("No module named 'gensim', the package that contains it")
    folder = pathlib.Path(package.submodule_search_locations[0], "test", "test_data")
    for file in folder.glob(FILE):
        return file
    raise FileNotFoundError(f"no {FILE} in {folder}. Install gensim 4 again")

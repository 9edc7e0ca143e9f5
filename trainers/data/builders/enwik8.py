"""enwik8: the first 100,000,000 bytes of an XML dump of the English Wikipedia, from Mahoney's compression benchmark."""

from __future__ import annotations

from trainers.data.builders.byte_records import ArchivedText


class Enwik8(ArchivedText):
    """Split by position, as in all papers: 90 million bytes to train, 5 to validate, 5 to test."""

    DESCRIPTION = "The first 100,000,000 bytes of the English Wikipedia's XML dump of 3 March 2006 (Mahoney)."
    HOMEPAGE = "http://mattmahoney.net/dc/textdata.html"
    URL = "http://mattmahoney.net/dc/enwik8.zip"
    FILES = ("enwik8",)
    NUM_SYMBOLS = 205
    NUM_TOKENS = {"train": 90_000_000, "validation": 5_000_000, "test": 5_000_000}

    def _split_generators(self, dl_manager):
        source = self.source(dl_manager)
        text = self._read(source, "enwik8")
        size = sum(self.NUM_TOKENS.values())
        if len(text) != size:
            raise ValueError(f"{source}: enwik8 has {len(text):,} bytes instead of {size:,}. Download it again")
        train = self.NUM_TOKENS["train"]
        return self._cut(text, train, train + self.NUM_TOKENS["validation"])

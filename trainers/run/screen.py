"""Streams generated text to stdout, with control characters escaped."""

from __future__ import annotations

import codecs
import re
import sys

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # without tab and newline


class Screen:
    r"""Prints bytes on stdout immediately, as text that is safe on a terminal.

    Bytes that are not UTF-8, and control characters other than tab and newline, are printed as \xNN; characters that
    stdout's encoding lacks, as \uNNNN.
    """

    def __init__(self):
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._begins_line = True

    def print(self, content: bytes, final: bool = False) -> None:
        """Prints all complete characters received so far; if `final`, the rest as well."""
        text = CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", self._decoder.decode(content, final))
        encoding = sys.stdout.encoding or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding), end="", flush=True)
        if text:
            self._begins_line = text.endswith("\n")

    def end(self) -> None:
        """Ends the text, and its last line."""
        self.print(b"", final=True)
        if not self._begins_line:
            print(flush=True)

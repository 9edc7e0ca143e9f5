"""Text that is safe on a terminal: control characters are escaped, as are those that its encoding lacks."""

from __future__ import annotations

import codecs
import re
import sys

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # without tab and newline


def one_line(text: object) -> str:
    """A text on one line of a terminal, such as the name of a file: without control characters."""
    return CONTROLS.sub(_escaped, str(text)).replace("\n", "\\n").replace("\t", "\\t")


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
        text = CONTROLS.sub(_escaped, self._decoder.decode(content, final))
        encoding = sys.stdout.encoding or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding), end="", flush=True)
        if text:
            self._begins_line = text.endswith("\n")

    def end(self) -> None:
        """Ends the text, and its last line."""
        self.print(b"", final=True)
        if not self._begins_line:
            print(flush=True)


def _escaped(character: re.Match) -> str:
    return f"\\x{ord(character[0]):02x}"

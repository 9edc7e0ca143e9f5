"""IWSLT'14 German to English: transcripts of TED talks, with the splits of fairseq's `prepare-iwslt14.sh`.

As in that script, lines with addresses, keywords and talk numbers are dropped, titles and descriptions are kept;
training pairs with an empty side, with more than 175 words on a side, or with a length ratio above 1.5 are dropped;
every 23rd of the rest is for validation; the test split is dev2010, dev2012, tst2010, tst2011 and tst2012; all text is
in lower case.

Unlike the script, sentences are not tokenised by Moses. Words are only counted, by a similar rule, so the splits differ
by some pairs from the script's (160,239 to train after its second filter, on subwords, which is not applied here; 7,283
to validate; 6,750 to test). Entities of the XML files are resolved.
"""

from __future__ import annotations

import html
import os
import re
import tarfile
from collections.abc import Iterable, Iterator

import tensorflow as tf

from trainers.data.builders.archived import Archived
from trainers.data.builders.sentence_records import Pair, SentenceRecords

LANGUAGES = ("de", "en")
MAX_WORDS, MAX_RATIO = 175, 1.5
VALIDATION_EVERY = 23
TAG = re.compile(r"<(?!/?(title|description)>)\w+[ >]")  # starts a line that is not text
KEPT_TAG = re.compile(r"</?(?:title|description)>")
SEGMENT = re.compile(r"<seg id=\"\d+\">\s*(.*?)\s*</seg>")
WORD = re.compile(r"'?\w+(?:[-.,]\w+)*|\.+|[^\w\s]")


def _sides(name: str) -> tuple[str, ...]:
    return tuple(f"de-en/{name}{language}" for language in LANGUAGES)


TRAIN = _sides("train.tags.de-en.")
TEST = tuple(
    tuple(f"{side}.xml" for side in _sides(f"IWSLT14.{part}.de-en."))
    for part in ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012")
)


class Iwslt14DeEn(Archived, SentenceRecords):
    """About 160,000 pairs to train, 7,000 to validate, 6,750 to test."""

    DESCRIPTION = "IWSLT 2014, German to English: transcripts of TED talks (Cettolo et al., WIT3), in lower case."
    HOMEPAGE = "https://wit3.fbk.eu"
    URL = "http://dl.fbaipublicfiles.com/fairseq/data/iwslt14/de-en.tgz"
    FILES = (*TRAIN, *sum(TEST, ()))

    def _split_generators(self, dl_manager):
        source = self.source(dl_manager)
        files = _read(source, self.FILES)
        pairs = list(filter(is_clean, _aligned(source, TRAIN, [tagged_lines(files[file]) for file in TRAIN])))
        test = [pair for part in TEST for pair in _aligned(source, part, [segments(files[file]) for file in part])]
        return {
            "train": self._generate_examples(pair for n, pair in enumerate(pairs, 1) if n % VALIDATION_EVERY),
            "validation": self._generate_examples(pairs[VALIDATION_EVERY - 1 :: VALIDATION_EVERY]),
            "test": self._generate_examples(test),
        }


def tagged_lines(text: str) -> list[str]:
    """The sentences of a training file in lower case; empty lines are kept."""
    # Not splitlines(), which also splits at characters within sentences, so that the sides would not match.
    lines = text.removesuffix("\n").split("\n")
    return [_plain(KEPT_TAG.sub("", line)) for line in lines if not TAG.match(line.lstrip())]


def segments(text: str) -> list[str]:
    """The sentences of an XML file, one per line, in lower case."""
    return [_plain(html.unescape(found)).replace("’", "'") for found in SEGMENT.findall(text)]


def is_clean(pair: Pair) -> bool:
    """Whether both sides have 1 to 175 words, and neither has more than 1.5 times as many as the other."""
    counts = [len(WORD.findall(side)) for side in pair]
    return min(counts) >= 1 and max(counts) <= min(MAX_WORDS, MAX_RATIO * min(counts))


def _plain(line: str) -> str:
    return " ".join(line.lower().split())


def _aligned(source: str, files: tuple[str, ...], sides: list[list[str]]) -> Iterable[Pair]:
    """The pairs of two files that are aligned line by line.

    Raises:
        ValueError: the files differ in their number of sentences.
    """
    german, english = sides
    if len(german) != len(english):
        raise ValueError(
            f"{source}: {files[0]} has {len(german):,} sentences and {files[1]} {len(english):,}. Download it again"
        )
    return zip(german, english)


def _read(source: str, files: tuple[str, ...]) -> dict[str, str]:
    """Reads files from `source`, an archive or a folder.

    Raises:
        ValueError: the archive is damaged, or lacks a file.
    """
    if tf.io.gfile.isdir(source):
        return {file: tf.io.gfile.GFile(os.path.join(source, file), "rb").read().decode("utf-8") for file in files}
    try:
        with tf.io.gfile.GFile(source, "rb") as content, tarfile.open(fileobj=content, mode="r|gz") as archive:
            found = dict(_members(archive, files))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{source}: {error}") from error
    if missing := [file for file in files if file not in found]:
        raise ValueError(f"{source}: does not contain {missing[0]}")
    return found


def _members(archive: tarfile.TarFile, files: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Name and content of those of the files that the archive contains."""
    for member in archive:
        name = os.path.normpath(member.name)
        if name in files:
            yield name, archive.extractfile(member).read().decode("utf-8")

"""The embedded sample of translation: the German message catalogues of the package `django`."""

from __future__ import annotations

import hashlib
import importlib.util
import pathlib
import re
from collections.abc import Iterable, Iterator

from trainers.data.builders.byte_records import SPLITS
from trainers.data.builders.sentence_records import Pair, SentenceRecords

CATALOGUES = "**/locale/de/LC_MESSAGES/*.po"  # of the framework and of its applications
# Placeholders, tags and character entities, which are not words of either language.
PLACEHOLDER = re.compile(r"%\(\w+\)\w|%\w|\{\w*\}|<[^>]*>|&\w+;")


class DjangoDeEn(SentenceRecords):
    """Messages of a web framework, German to English: 90 % to train, 5 % to validate, 5 % to test.

    Messages that are equal in either language, except for case, punctuation and placeholders, are duplicates, and only
    the first is kept, so that splits do not overlap. A pair's split depends on its English message alone.
    """

    IS_EMBEDDED = True
    DESCRIPTION = "The interface messages of Django 5.2 in German and English, read from the package django."
    HOMEPAGE = "https://docs.djangoproject.com/en/5.2/topics/i18n/"

    def _split_generators(self, dl_manager):
        parts = {split: [] for split in SPLITS}
        for pair in distinct(messages(_package())):
            parts[split_of(pair)].append(pair)
        return {split: self._generate_examples(pairs) for split, pairs in parts.items()}


def messages(folder: pathlib.Path) -> Iterator[Pair]:
    """The German and English messages of a package's catalogues, in the order of files and lines.

    Messages without a translation, or with a translation marked as fuzzy, are skipped. A message with a plural gives
    two pairs: singular and plural. Line breaks and runs of whitespace become one space.
    """
    from babel.messages.pofile import read_po  # imported here: only preparation needs babel

    for path in sorted(folder.glob(CATALOGUES)):
        with path.open("rb") as file:
            catalogue = read_po(file, locale="de")
        for message in catalogue:
            if message.fuzzy:
                continue
            for english, german in zip(_forms(message.id), _forms(message.string)):
                if english and german:
                    yield " ".join(german.split()), " ".join(english.split())


def distinct(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Drops pairs whose German or English words occurred in an earlier pair, and pairs without words."""
    seen_german, seen_english = {""}, {""}
    for german, english in pairs:
        keys = words(german), words(english)
        if keys[0] not in seen_german and keys[1] not in seen_english:
            yield german, english
            seen_german.add(keys[0])
            seen_english.add(keys[1])


def words(message: str) -> str:
    """The part of a message that is compared: letters and digits in lower case, without placeholders."""
    return "".join(letter for letter in PLACEHOLDER.sub("", message).casefold() if letter.isalnum())


def split_of(pair: Pair) -> str:
    """Assigns 90 % to `train`, 5 % to `validation` and 5 % to `test`, by a hash of the English words."""
    place = int.from_bytes(hashlib.sha256(words(pair[1]).encode()).digest()[:8], "big") % 20
    return {0: "test", 1: "validation"}.get(place, "train")


def _forms(text: str | tuple[str, ...]) -> tuple[str, ...]:
    """A message, or its singular and plural."""
    return (text,) if isinstance(text, str) else tuple(text)


def _package() -> pathlib.Path:
    """The folder of the installed package, found without importing it.

    Raises:
        ModuleNotFoundError: the package is not installed.
        FileNotFoundError: it has no German catalogues.
    """
    package = importlib.util.find_spec("django")
    if package is None:
        raise ModuleNotFoundError("No module named 'django', the package that contains it")
    folder = pathlib.Path(package.submodule_search_locations[0])
    if next(folder.glob(CATALOGUES), None) is None:
        raise FileNotFoundError(f"no {CATALOGUES} in {folder}. Install django 5.2 again")
    return folder

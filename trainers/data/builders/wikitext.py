"""WikiText (Merity et al. 2016, arXiv 1609.07843): the English Wikipedia's best articles, at word level."""

from __future__ import annotations

from trainers.data.builders.byte_records import SPLITS, ArchivedText

ADDRESS = "https://s3.amazonaws.com/research.metamind.io/wikitext"


def _files(folder: str) -> tuple[str, ...]:
    """The files of an archive in the order of SPLITS."""
    return tuple(f"{folder}/wiki.{part}.tokens" for part in ("train", "valid", "test"))


class _Wikitext(ArchivedText, skip_registration=True):
    """Words and punctuation are separated by spaces; its authors replaced rare words by <unk>."""

    HOMEPAGE = "https://arxiv.org/abs/1609.07843"
    UNIT = "word"

    def _split_generators(self, dl_manager):
        source = self.source(dl_manager)
        return {split: self._generate_examples(self._read(source, file)) for split, file in zip(SPLITS, self.FILES)}


class Wikitext103(_Wikitext):
    """The large one."""

    DESCRIPTION = "WikiText-103, word level: 28,475 articles to train, 60 to validate, 60 to test."
    URL = f"{ADDRESS}/wikitext-103-v1.zip"
    FILES = _files("wikitext-103")
    NUM_SYMBOLS = 267_735
    NUM_TOKENS = {"train": 103_227_021, "validation": 217_646, "test": 245_569}


class Wikitext2(_Wikitext):
    """The small one; its validation and test splits are those of WikiText-103, with more <unk>."""

    DESCRIPTION = "WikiText-2, word level: 600 articles to train, 60 to validate, 60 to test."
    URL = f"{ADDRESS}/wikitext-2-v1.zip"
    FILES = _files("wikitext-2")
    NUM_SYMBOLS = 33_278
    NUM_TOKENS = {"train": 2_088_628, "validation": 217_646, "test": 245_569}

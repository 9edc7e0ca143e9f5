"""Sentences and their translations in TFDS: one record per pair, in order."""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow_datasets as tfds

Pair = tuple[str, str]  # a sentence and its translation


class SentenceRecords(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Sentence pairs: `source` is translated into `target`. Each is one line without leading or trailing spaces."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION: str
    HOMEPAGE: str

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            features=tfds.features.FeaturesDict({"source": tfds.features.Text(), "target": tfds.features.Text()}),
            supervised_keys=("source", "target"),
            homepage=self.HOMEPAGE,
            disable_shuffling=True,
        )

    def _generate_examples(self, pairs: Iterable[Pair]):
        for index, (source, target) in enumerate(pairs):
            yield index, {"source": source, "target": target}

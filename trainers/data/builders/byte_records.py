"""How texts are kept under TFDS: as their bytes, cut into records that come back in order."""

from __future__ import annotations

import os
import zipfile

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from trainers.data.builders.archived import Archived

SPLITS = ("train", "validation", "test")


class ByteRecords(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A text in three parts: the records of a split, one after the other, are its bytes."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION: str
    HOMEPAGE: str
    UNIT = "byte"  # what a language model reads one by one: a byte, or a word
    RECORD_BYTES = 1 << 18

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {"text": tfds.features.Tensor(shape=(None,), dtype=np.uint8, encoding="bytes")}
            ),
            homepage=self.HOMEPAGE,
            disable_shuffling=True,
        )

    def _generate_examples(self, text: bytes):
        for index, begin in enumerate(range(0, len(text), self.RECORD_BYTES)):
            yield index, {"text": np.frombuffer(text[begin : begin + self.RECORD_BYTES], np.uint8)}

    def _cut(self, text: bytes, *ends: int) -> dict:
        """The splits of a text that is cut by position: where training and validation end."""
        train, validation = ends
        parts = (text[:train], text[train:validation], text[validation:])
        return {split: self._generate_examples(part) for split, part in zip(SPLITS, parts)}


class ArchivedText(Archived, ByteRecords, skip_registration=True):
    """A text that is published as a zip archive, and what is known of it without having it."""

    NUM_SYMBOLS: int  # distinct bytes, or words and <eos>, of the training part
    NUM_TOKENS: dict[str, int]  # of each split: bytes, or words and an <eos> a line

    def _read(self, source: str, file: str) -> bytes:
        """A file of the archive, or of the folder, that `source` is.

        Raises:
            ValueError: the archive is damaged, or has no such file.
        """
        if tf.io.gfile.isdir(source):
            return tf.io.gfile.GFile(os.path.join(source, file), "rb").read()
        try:
            with tf.io.gfile.GFile(source, "rb") as content, zipfile.ZipFile(content) as archive:
                return archive.read(file)
        except (zipfile.BadZipFile, KeyError) as error:
            raise ValueError(f"{source}: {error.args[0]}") from error

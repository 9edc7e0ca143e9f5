"""Texts in TFDS, stored as bytes in consecutive records."""

from __future__ import annotations

import os
import zipfile

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from trainers.data.builders.archived import Archived

SPLITS = ("train", "validation", "test")


class ByteRecords(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A text with three splits; the concatenated records of a split are its bytes."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION: str
    HOMEPAGE: str
    UNIT = "byte"  # the symbol of a language model: a byte or a word
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
        """Splits a text by position; `ends` are the ends of training and validation."""
        train, validation = ends
        parts = (text[:train], text[train:validation], text[validation:])
        return {split: self._generate_examples(part) for split, part in zip(SPLITS, parts)}


class ArchivedText(Archived, ByteRecords, skip_registration=True):
    """A text published as a zip archive, with its known sizes."""

    NUM_SYMBOLS: int  # distinct bytes, or words and <eos>, of the training split
    NUM_TOKENS: dict[str, int]  # of each split: bytes, or words plus one <eos> per line

    def _read(self, source: str, file: str) -> bytes:
        """Reads a file from `source`, an archive or a folder.

        Raises:
            ValueError: the archive is damaged, or lacks the file.
        """
        if tf.io.gfile.isdir(source):
            return tf.io.gfile.GFile(os.path.join(source, file), "rb").read()
        try:
            with tf.io.gfile.GFile(source, "rb") as content, zipfile.ZipFile(content) as archive:
                return archive.read(file)
        except (zipfile.BadZipFile, KeyError) as error:
            raise ValueError(f"{source}: {error.args[0]}") from error

"""Data sets that are published as one archive, which users may also fetch themselves."""

from __future__ import annotations

import os

import tensorflow as tf
import tensorflow_datasets as tfds


def manual_folder(builder: tfds.core.DatasetBuilder) -> str:
    """Where TFDS looks for files that the user has fetched."""
    return os.path.join(builder.data_dir_root, "downloads", "manual")


class Archived:
    """Mixed into a TFDS builder: finds its archive, or the unpacked files, before anything is downloaded."""

    URL: str
    FILES: tuple[str, ...]  # of the archive

    @property
    def archive(self) -> str:
        return os.path.basename(self.URL)

    def local_source(self) -> str | None:
        """Where the files are without a download: TFDS's manual folder, or the archive in it; None if in neither."""
        folder = manual_folder(self)
        if all(tf.io.gfile.exists(os.path.join(folder, file)) for file in self.FILES):
            return folder
        archive = os.path.join(folder, self.archive)
        return archive if tf.io.gfile.exists(archive) else None

    def source(self, dl_manager: tfds.download.DownloadManager) -> str:
        return self.local_source() or os.fspath(dl_manager.download(self.URL))

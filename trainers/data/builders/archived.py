"""Data sets published as one archive, which users may also download manually."""

from __future__ import annotations

import os

import tensorflow as tf
import tensorflow_datasets as tfds


def manual_folder(builder: tfds.core.DatasetBuilder) -> str:
    """The folder in which TFDS looks for manually downloaded files."""
    return os.path.join(builder.data_dir_root, "downloads", "manual")


class Archived:
    """Mixin for a TFDS builder: looks for its archive, or the unpacked files, before downloading."""

    URL: str
    FILES: tuple[str, ...]  # of the archive

    @property
    def archive(self) -> str:
        return os.path.basename(self.URL)

    def local_source(self) -> str | None:
        """The local files: TFDS's manual folder, or the archive in it; None if they are in neither."""
        folder = manual_folder(self)
        if all(tf.io.gfile.exists(os.path.join(folder, file)) for file in self.FILES):
            return folder
        archive = os.path.join(folder, self.archive)
        return archive if tf.io.gfile.exists(archive) else None

    def source(self, dl_manager: tfds.download.DownloadManager) -> str:
        return self.local_source() or os.fspath(dl_manager.download(self.URL))

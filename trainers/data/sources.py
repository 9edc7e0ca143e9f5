"""Finds and prepares TFDS data sets, and explains failures in one line.

Nothing is downloaded or prepared unless the user requests it. Only the embedded samples, which are already on the
machine, are prepared on first use.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import random
import re
import sys
from collections.abc import Iterator

import tensorflow as tf
import tensorflow_datasets as tfds

from flags.errors import UserError
from trainers.data.builders.archived import Archived, manual_folder
from trainers.data.damage import one_line
from trainers.data.splits import Features, Split, open_split

MANUAL_FILES = {"imagenet2012": ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar")}
# TFDS gives manual instructions for every configuration of these, but the ones listed here need no manual download.
NOTHING_BY_HAND = ("wmt14_translate/fr-en",)


class DataNotPrepared(UserError):
    """The data set is not in the TFDS folder; the message gives the command that prepares it."""

    def __init__(self, source: Source):
        builder = source.builder
        if source.is_fetched_by_hand:
            how = f"{_manual_step(builder)}, then give the same command with --mode=prepare. See BUILD.md, Data."
        else:
            how = f"Give the same command with --mode=prepare --download{_or_by_hand(builder)}."
        version = os.path.relpath(builder.data_dir, source.folder)
        super().__init__(f"{source.name} is not prepared in {source.folder} (no {version}/dataset_info.json). {how}")


class Source:
    """A TFDS data set, prepared or not.

    Raises:
        UserError: the data set does not exist, or its description cannot be read.
    """

    def __init__(self, name: str, data_dir: str | os.PathLike | None = None):
        self.name = name
        self.folder = data_folder(data_dir)
        self.builder = find_builder(name, self.folder)

    @property
    def is_prepared(self) -> bool:
        """Whether the complete data set is in the folder."""
        # Written last, and before the folder gets its final name.
        return tf.io.gfile.exists(os.path.join(self.builder.data_dir, "dataset_info.json"))

    @property
    def is_embedded(self) -> bool:
        """Whether the data set is part of an installed package."""
        return getattr(self.builder, "IS_EMBEDDED", False)

    @property
    def is_fetched_by_hand(self) -> bool:
        configuration = self.builder.info.full_name.rpartition("/")[0]
        return bool(self.builder.MANUAL_DOWNLOAD_INSTRUCTIONS) and configuration not in NOTHING_BY_HAND

    @property
    def location(self) -> str:
        """The location of the data set, or how to get it."""
        return f"found in {self.folder}" if self.is_prepared else str(DataNotPrepared(self))

    def split(self, expression: str, features: Features) -> Split:
        return open_split(self.builder, expression, features)

    def ensure_prepared(self, download: bool = False) -> None:
        """Prepares an embedded sample that is not in the folder, and other data sets if `download`.

        Raises:
            DataNotPrepared: it is not in the folder, and `download` is false.
            UserError: see `prepare`.
        """
        if not self.is_prepared:
            if not self.is_embedded and not download:
                raise DataNotPrepared(self)
            self.prepare(download)

    def prepare(self, download: bool = False) -> None:
        """Writes the data set into the TFDS folder; does nothing if it already exists.

        TFDS writes into a temporary folder and renames it at the end, so an interruption leaves no partial data set. If
        several processes do this at once, the first rename wins and the others use its result.

        Args:
            download: whether TFDS may download files. Not needed for data sets with a manual download.

        Raises:
            UserError: a download is needed but not allowed, manually downloaded files are missing, or downloading or
                writing failed.
        """
        if self.is_prepared:
            return
        self._check_files_to_fetch(download)
        with _quiet_tfds(show_progress=not self.is_embedded):
            try:
                self.builder.download_and_prepare()
            except Exception as error:
                # If the folder exists now, another process was faster, and our rename failed.
                if not self.is_prepared:
                    raise UserError(f"{self.name} could not be prepared in {self.folder}: {one_line(error)}") from error
        if not self.is_prepared:
            raise UserError(
                f"{self.builder.data_dir} is incomplete: it has no dataset_info.json. Delete it and try again."
            )
        self.builder = find_builder(self.name, self.folder)  # now with its splits

    def _check_files_to_fetch(self, download: bool) -> None:
        """Checks that all files are available: with one of two archives, TFDS would write half of ImageNet."""
        builder = self.builder
        if self.is_fetched_by_hand:
            folder = manual_folder(builder)
            needed = [os.path.join(folder, file) for file in MANUAL_FILES.get(builder.name, ())] or [folder]
            missing = [file for file in needed if not tf.io.gfile.exists(file)]
            if missing:
                raise UserError(f"{self.name} cannot be prepared without {', '.join(missing)}. {_manual_step(builder)}")
        elif not (download or self.is_embedded or (isinstance(builder, Archived) and builder.local_source())):
            how = f"add --download{_or_by_hand(builder)}"
            raise UserError(f"{self.name} must be downloaded to {builder.data_dir_root}. To allow that, {how}")


class GeneratedSource:
    """A data set generated in memory, which needs no preparation. Same interface as `Source`."""

    is_prepared = True
    is_embedded = False
    location = "generated in memory"

    def __init__(self, name: str):
        self.name = name

    def ensure_prepared(self, download: bool = False) -> None:
        pass

    def prepare(self, download: bool = False) -> None:
        pass


def data_folder(data_dir: str | os.PathLike | None = None) -> str:
    """The folder of data sets: the given one, else $TFDS_DATA_DIR, else the default in the user's home."""
    return os.path.expanduser(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def find_builder(name: str, folder: str) -> tfds.core.DatasetBuilder:
    """TFDS's builder of a data set in a folder, prepared or not.

    Raises:
        UserError: the data set does not exist, or its description cannot be read.
    """
    try:
        return tfds.builder(name, data_dir=folder)
    except tfds.core.DatasetNotFoundError as error:
        near = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False), n=3)
        hint = f"Near: {', '.join(near)}" if near else "See https://www.tensorflow.org/datasets/catalog"
        raise UserError(f"data.name={name}: no such data set. {hint}") from error
    except Exception as error:  # many types: an unknown version or configuration, or a damaged description
        infos = tf.io.gfile.glob(os.path.join(folder, re.split("[/:]", name)[0], "*", "dataset_info.json"))
        hint = f". If {infos[0]} is damaged, delete its folder and prepare the data set again." if infos else ""
        raise UserError(f"data.name={name}: {one_line(error)}{hint}") from error


def _manual_step(builder: tfds.core.DatasetBuilder) -> str:
    """Instructions for a manual download."""
    if files := MANUAL_FILES.get(builder.name):
        return f"Put {' and '.join(files)} into {manual_folder(builder)}"
    instructions = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split()).rstrip(".")
    return f"Download its files manually to {manual_folder(builder)}: {instructions}"


def _or_by_hand(builder: tfds.core.DatasetBuilder) -> str:
    """The alternative to --download for an archive that can also be downloaded manually."""
    if isinstance(builder, Archived):
        return f"; or put {builder.archive} into {manual_folder(builder)} and omit --download"
    return ""


@contextlib.contextmanager
def _quiet_tfds(show_progress: bool) -> Iterator[None]:
    """Keeps TFDS's messages off stdout, and processes with equal seeds from writing into the same folder.

    TFDS draws the name of its temporary folder from Python's global generator, which a run may have seeded.
    """
    state = random.getstate()
    random.seed()
    tfds.display_progress_bar(show_progress and sys.stderr.isatty())
    try:
        with contextlib.redirect_stdout(sys.stderr if show_progress else None):
            yield
    finally:
        random.setstate(state)

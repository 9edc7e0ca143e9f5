"""Opens and prepares data sets under TFDS, and says in one line what is wrong where that fails.

Nothing is downloaded or prepared unless the user asked for it; only the embedded samples, which are on the machine
already, are prepared when they are first opened.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import random
import re
import sys
from collections.abc import Mapping

import tensorflow as tf
import tensorflow_datasets as tfds

from flags.errors import UserError
from trainers.data.builders.byte_records import ArchivedText, manual_folder
from trainers.data.builders.digits import Digits
from trainers.data.builders.django_catalogues import DjangoDeEn
from trainers.data.builders.enwik8 import Enwik8
from trainers.data.builders.iwslt14 import Iwslt14DeEn
from trainers.data.builders.wikipedia_sample import WikipediaSample
from trainers.data.builders.wikitext import Wikitext2, Wikitext103

TEXTS = {builder.name: builder for builder in (Enwik8, Wikitext103, Wikitext2, WikipediaSample)}
# Pairs of sentences: a data set and its configuration -> its features that are translated from and into.
TRANSLATIONS = {
    Iwslt14DeEn.name: ("source", "target"),
    DjangoDeEn.name: ("source", "target"),
    "wmt14_translate/fr-en": ("en", "fr"),  # the paper translates into French
}
SAMPLES = frozenset({Digits.name, WikipediaSample.name, DjangoDeEn.name})
ARCHIVED = (ArchivedText, Iwslt14DeEn)  # published as one archive, which may also be put into the manual folder
MANUAL_FILES = {"imagenet2012": ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar")}
READ_BUFFER_BYTES = 1 << 20
DAMAGED = "damaged record file"


class DataNotPrepared(UserError):
    """A data set is not in the TFDS folder; the message gives the command that prepares it."""

    def __init__(self, name: str, data_dir: str | os.PathLike | None = None):
        builder = find_builder(name, data_dir)
        folder = data_folder(data_dir)
        if _is_fetched_by_hand(builder):
            how = f"{_manual_step(builder)}, then give the same command with --mode=prepare. See BUILD.md, Data."
        else:
            how = f"Give the same command with --mode=prepare --download{_or_by_hand(builder)}."
        version = os.path.relpath(builder.data_dir, folder)
        super().__init__(f"{name} is not prepared in {folder} (no {version}/dataset_info.json). {how}")


@dataclasses.dataclass(frozen=True)
class Split:
    """Some of a data set's records in file order; what `trainers.data.stream` reads from."""

    num_examples: int
    shard_sizes: tuple[int, ...]  # records of each file that belong to the split
    _files: tuple[str, ...]
    _skips: tuple[int, ...]  # records of each file that come before them
    # our name of a feature -> the records' name and its type
    _features: Mapping[str, tuple[str, tf.DType]] = dataclasses.field(hash=False)

    def read(self, shard: tf.Tensor, skip: tf.Tensor, take: tf.Tensor) -> tf.data.Dataset:
        """`take` serialised examples of a file, from the `skip`-th of the split's on.

        A file that gives fewer than that is an error that names it: TensorFlow's own messages about damaged records do
        not, and a file cut between two records would go unnoticed.
        """
        file = tf.gather(tf.constant(self._files), shard)
        before = tf.gather(tf.constant(self._skips, tf.int64), shard) + skip
        records = tf.data.TFRecordDataset(file, buffer_size=READ_BUFFER_BYTES).skip(before).take(take)
        # `ignore_errors` ends a file at its first bad record, but tries for ever to open one that cannot be opened.
        opened = tf.data.FixedLengthRecordDataset(file, 1).take(1).skip(1)
        shortage = tf.data.Dataset.from_tensors(file).map(_fail)
        return opened.concatenate(records.ignore_errors(log_warning=True)).concatenate(shortage).take(take)

    def parse(self, record: tf.Tensor) -> dict[str, tf.Tensor]:
        """One record as `image` (encoded bytes) and `label` (int64), as `text`, or as `source` and `target` (bytes)."""
        features = {name: tf.io.FixedLenFeature([], dtype) for name, dtype in self._features.values()}
        example = tf.io.parse_single_example(record, features)
        return {ours: example[name] for ours, (name, _) in self._features.items()}


class DataSet:
    """A prepared data set of labelled images."""

    def __init__(self, builder: tfds.core.DatasetBuilder):
        self.name = builder.info.full_name
        self._builder = builder
        image, label = _image_and_label(builder.info)
        self._features = {"image": (image, tf.string), "label": (label, tf.int64)}
        self.class_names = tuple(builder.info.features[label].names)
        self.num_classes = len(self.class_names)

    def split(self, expression: str) -> Split:
        """The examples of a split in TFDS's language: `train`, `train[25022:]`, `train+validation`, `train[:10%]`.

        Raises:
            UserError: the data set has no such split, or not all of its files are there.
        """
        return open_split(self._builder, expression, self._features)


def data_folder(data_dir: str | os.PathLike | None = None) -> str:
    """Where data sets are looked for: the given folder, else TFDS_DATA_DIR, else the one in the user's home."""
    return os.path.expanduser(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def is_prepared(name: str, data_dir: str | os.PathLike | None = None) -> bool:
    """Whether a data set is in the folder, whole.

    Raises:
        UserError: no such data set, none that is known here (`find_builder`), or its description cannot be read.
    """
    return _is_whole(find_builder(name, data_dir))


def open_dataset(name: str, data_dir: str | os.PathLike | None = None, download: bool = False) -> DataSet:
    """Opens a prepared data set; an embedded sample that is missing is prepared on the way, others if `download`.

    Raises:
        DataNotPrepared: it is not in the folder.
        UserError: no such data set, not one of labelled images, or its description cannot be read.
    """
    declared(name, data_dir)  # a text is refused before it is prepared
    ensure_prepared(name, data_dir, download)
    return DataSet(find_builder(name, data_dir))


def ensure_prepared(name: str, data_dir: str | os.PathLike | None = None, download: bool = False) -> None:
    """Prepares an embedded sample that is not in the folder, and other data sets if `download`.

    Raises:
        DataNotPrepared: it is not in the folder, and may not be downloaded.
        UserError: as `prepare` and `is_prepared`.
    """
    if not is_prepared(name, data_dir):
        if name not in SAMPLES and not download:
            raise DataNotPrepared(name, data_dir)
        prepare(name, data_dir, download)


def declared(name: str, data_dir: str | os.PathLike | None = None) -> DataSet:
    """A data set as its builder declares it, prepared or not: its classes are known, its examples may not be there."""
    return DataSet(find_builder(name, data_dir))


def prepare(name: str, data_dir: str | os.PathLike | None = None, download: bool = False) -> None:
    """Makes TFDS write a data set into the folder; nothing happens if it is there.

    TFDS writes into a folder aside and renames it when all is done, so an interruption leaves nothing that could be
    taken for whole. Of several processes that do this at once the first rename wins, and the others use its result.

    Args:
        download: whether TFDS may fetch files. Data sets that must be fetched by hand do not need it.

    Raises:
        UserError: it may not, the files to be fetched by hand are not there, or writing or fetching failed.
    """
    builder = find_builder(name, data_dir)
    if _is_whole(builder):
        return
    _check_sources(builder, name, download)
    with _tfds_manners(show_progress=name not in SAMPLES):
        try:
            builder.download_and_prepare()
        except Exception as error:
            # If the folder is there now, another process was faster, and ours could not be given its name.
            if not _is_whole(builder):
                folder = data_folder(data_dir)
                raise UserError(f"{name} could not be prepared in {folder}: {_one_line(error)}") from error
    if not _is_whole(builder):
        raise UserError(f"{builder.data_dir} is in the way: it has no dataset_info.json. Delete it and try again.")


def explain(error: Exception) -> UserError | None:
    """The user's line for an error that came up while records were read or decoded; None if it is another error."""
    message = str(error)
    if found := re.search(rf"\[{DAMAGED}\] \[(.+?)\]", message):
        return UserError(
            f"{found[1]} could not be read to its end: it is damaged or cut short. Copy this file again, or delete the "
            "data set's folder and prepare it anew."
        )
    if isinstance(error, tf.errors.NotFoundError | tf.errors.PermissionDeniedError) and ".tfrecord" in message:
        return UserError(f"A file of the data set cannot be opened any more: {_one_line(error)}")
    if isinstance(error, tf.errors.InvalidArgumentError) and re.search("JPEG|PNG|image file|DecodeImage", message):
        return UserError(f"A record of the data set holds no image that can be decoded: {_one_line(error)}")
    return None


def find_builder(name: str, data_dir: str | os.PathLike | None = None) -> tfds.core.DatasetBuilder:
    """TFDS's builder of a data set of labelled images, of a text or of pairs of sentences, prepared or not.

    Raises:
        UserError: no such data set, none of these, or its description cannot be read.
    """
    folder = data_folder(data_dir)
    try:
        builder = tfds.builder(name, data_dir=folder)
    except tfds.core.DatasetNotFoundError as error:
        near = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False), n=3)
        hint = f"Near: {', '.join(near)}" if near else "See https://www.tensorflow.org/datasets/catalog"
        raise UserError(f"data.name={name}: no such data set. {hint}") from error
    except Exception as error:  # of many kinds: an unknown version or configuration, or a damaged description
        infos = tf.io.gfile.glob(os.path.join(folder, re.split("[/:]", name)[0], "*", "dataset_info.json"))
        hint = f". If {infos[0]} is damaged, delete its folder and prepare the data set anew." if infos else ""
        raise UserError(f"data.name={name}: {_one_line(error)}{hint}") from error
    if builder.name not in TEXTS and sentence_features(builder) is None:
        _image_and_label(builder.info)
    return builder


def sentence_features(builder: tfds.core.DatasetBuilder) -> tuple[str, str] | None:
    """The names of the features that are translated from and into; None for what is not pairs of sentences."""
    return TRANSLATIONS.get(builder.info.full_name.rpartition("/")[0])


def open_split(
    builder: tfds.core.DatasetBuilder, expression: str, features: Mapping[str, tuple[str, tf.DType]]
) -> Split:
    """A split of a prepared data set, of which these features are read: our name -> the records' name and its type.

    Raises:
        UserError: the data set has no such split, or not all of its files are there.
    """
    files = split_instructions(builder.info.splits, expression, builder.info.full_name)
    _check_files(builder, {file.filename for file in files})
    return Split(
        num_examples=sum(file.take for file in files),
        shard_sizes=tuple(file.take for file in files),
        _files=tuple(os.fspath(file.filename) for file in files),
        _skips=tuple(file.skip for file in files),
        _features=features,
    )


def split_instructions(splits: tfds.core.SplitDict, expression: str, name: str, unit: str = "example") -> list:
    """The files of a split with the records to skip and to take in each; a record is a `unit` in messages.

    Raises:
        UserError: there is no such split, or it is empty.
    """
    known = ", ".join(f"{split} ({info.num_examples:,})" for split, info in splits.items())
    try:
        files = [file for file in splits[expression].file_instructions if file.take > 0]
    except (ValueError, KeyError, NotImplementedError) as error:
        raise UserError(f"split {expression!r} of {name}: {_one_line(error)}. Splits ({unit}s): {known}") from error
    if not files:
        raise UserError(f"split {expression!r} of {name} is empty. Splits ({unit}s): {known}")
    return files


def _check_files(builder: tfds.core.DatasetBuilder, files: set[str]) -> None:
    file_format = builder.info.file_format
    if file_format is not tfds.core.FileFormat.TFRECORD:
        raise UserError(
            f"{builder.data_dir}: prepared as {file_format.value}, which tf.data cannot read. "
            "Prepare it again in TFDS's default format, tfrecord."
        )
    there = set(tf.io.gfile.listdir(builder.data_dir))
    missing = sorted(file for file in files if os.path.basename(file) not in there)
    if missing:
        raise UserError(
            f"{missing[0]} is missing, one of {len(missing)} of {len(files)}: the folder was not copied whole. "
            "Copy it again, or delete it and prepare the data set anew."
        )


def _is_whole(builder: tfds.core.DatasetBuilder) -> bool:
    # Written last, and before the folder gets its final name.
    return tf.io.gfile.exists(os.path.join(builder.data_dir, "dataset_info.json"))


def _image_and_label(info: tfds.core.DatasetInfo) -> tuple[str, str]:
    """The names of the features that are the image and its class."""
    keys = info.supervised_keys
    if keys is None or len(keys) != 2 or not all(isinstance(key, str) for key in keys):
        keys = ("image", "label")
    features = dict(info.features.items())
    image, label = (features.get(key) for key in keys)
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        raise UserError(f"data.name={info.name}: not a data set of labelled images; it has {', '.join(features)}")
    return keys


def _check_sources(builder: tfds.core.DatasetBuilder, name: str, download: bool) -> None:
    """Stops what TFDS would start without what it needs: with one archive of two it would write half of ImageNet."""
    if _is_fetched_by_hand(builder):
        folder = manual_folder(builder)
        needed = [os.path.join(folder, file) for file in MANUAL_FILES.get(builder.name, ())] or [folder]
        missing = [file for file in needed if not tf.io.gfile.exists(file)]
        if missing:
            raise UserError(f"{name} cannot be prepared without {', '.join(missing)}. {_manual_step(builder)}")
    elif not (download or name in SAMPLES or (isinstance(builder, ARCHIVED) and builder.local_source())):
        how = f"add --download{_or_by_hand(builder)}"
        raise UserError(f"{name} has to be downloaded into {builder.data_dir_root}. To allow that, {how}")


def _is_fetched_by_hand(builder: tfds.core.DatasetBuilder) -> bool:
    # Of WMT's configurations TFDS gives instructions for all, though those read here need nothing by hand.
    return bool(builder.MANUAL_DOWNLOAD_INSTRUCTIONS) and sentence_features(builder) is None


def _manual_step(builder: tfds.core.DatasetBuilder) -> str:
    """What the user has to fetch by hand, and where it belongs."""
    if files := MANUAL_FILES.get(builder.name):
        return f"Put {' and '.join(files)} into {manual_folder(builder)}"
    instructions = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split()).rstrip(".")
    return f"Its files are fetched by hand, into {manual_folder(builder)}: {instructions}"


def _or_by_hand(builder: tfds.core.DatasetBuilder) -> str:
    """The other way to an archive that can be downloaded."""
    if isinstance(builder, ARCHIVED):
        return f"; or put {builder.archive} into {manual_folder(builder)} and leave --download out"
    return ""


@contextlib.contextmanager
def _tfds_manners(show_progress: bool):
    """Keeps TFDS's announcements off stdout, and two processes with one seed from writing into one folder.

    TFDS draws the name of the folder aside from Python's global generator, which a run may have seeded.
    """
    state = random.getstate()
    random.seed()
    tfds.display_progress_bar(show_progress and sys.stderr.isatty())
    try:
        with contextlib.redirect_stdout(sys.stderr if show_progress else None):
            yield
    finally:
        random.setstate(state)


def _fail(file: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.debugging.Assert(False, [DAMAGED, file])]):
        return tf.identity(file)


def _one_line(error: Exception) -> str:
    """An error's message without line breaks and what TensorFlow and TFDS put around it."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*|Failed to construct dataset .*?\}\": ", "", str(error) or type(error).__name__)
    return " ".join(text.split()).rstrip(".")[:500]

"""Texts are prepared byte for byte, from the published archives or from a package, or not at all."""

import bz2
import io
import pathlib
import sys
import zipfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from flags.errors import UserError
from tests.trainers.opening import open_text
from trainers.data import damage
from trainers.data.builders import wikipedia_sample
from trainers.data.builders.byte_records import ByteRecords
from trainers.data.builders.enwik8 import Enwik8
from trainers.data.sources import DataNotPrepared, Source

SIZES = {"train": 90, "validation": 5, "test": 6}
CONTENT = bytes(np.random.default_rng(0).integers(ord("a"), ord("k"), sum(SIZES.values()), np.uint8))
WIKITEXT = {
    "train": " \n = Robert <unk> = \n \n Robert is an actor , born in 1973 . \n",
    "valid": " \n = Homarus = \n",
    "test": " \n = Du Fu = \n \n",
}
PREPARED = {"train": "train", "validation": "valid", "test": "test"}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Enwik8 of 101 bytes, and records of 2."""
    monkeypatch.setattr(Enwik8, "NUM_TOKENS", SIZES)
    monkeypatch.setattr(ByteRecords, "RECORD_BYTES", 2)


@pytest.fixture
def manual(tmp_path):
    """TFDS's manual folder."""
    folder = tmp_path / "downloads" / "manual"
    folder.mkdir(parents=True)
    return folder


def zipped(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in files.items():
            archive.writestr(name, file)
    return content.getvalue()


def texts(name, data_dir):
    data = open_text(name, data_dir)
    return {split: data.text(split) for split in ("train", "validation", "test")}


def message(error):
    """The text of a caught UserError, which must be one line."""
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("file, content", [("enwik8.zip", zipped({"enwik8": CONTENT})), ("enwik8", CONTENT)])
def test_enwik8_is_cut_by_position_from_the_archive_or_the_file_in_it(tmp_path, manual, file, content):
    (manual / file).write_bytes(content)
    Source("enwik8", tmp_path).prepare()
    train, validation, test = texts("enwik8", tmp_path).values()
    assert train + validation + test == CONTENT
    assert (len(train), len(validation)) == (90, 5)


def test_records_come_back_in_order_from_several_files(tmp_path, manual):
    (manual / "enwik8").write_bytes(CONTENT)
    Enwik8(data_dir=tmp_path).download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=3))
    assert len(list((tmp_path / "enwik8" / "1.0.0").glob("enwik8-train.tfrecord-*-of-00003"))) == 3
    assert b"".join(texts("enwik8", tmp_path).values()) == CONTENT


def test_a_file_of_another_size_is_refused(tmp_path, manual):
    (manual / "enwik8").write_bytes(CONTENT[1:])
    with pytest.raises(UserError) as error:
        Source("enwik8", tmp_path).prepare()
    assert f"{manual}: enwik8 has 100 bytes instead of 101. Download it again" in message(error)
    assert not Source("enwik8", tmp_path).is_prepared


@pytest.mark.parametrize(
    "content, what",
    [
        (zipped({"enwik8": CONTENT})[:-9], "File is not a zip file"),
        (zipped({"enwik9": CONTENT}), "no item named 'enwik8'"),
    ],
)
def test_an_archive_that_is_damaged_or_another_is_named(tmp_path, manual, content, what):
    (manual / "enwik8.zip").write_bytes(content)
    with pytest.raises(UserError) as error:
        Source("enwik8", tmp_path).prepare()
    assert f"{manual}/enwik8.zip: " in message(error) and what in message(error)


def test_a_text_is_downloaded_only_if_that_is_allowed(tmp_path, monkeypatch):
    published = tmp_path / "published" / "enwik8.zip"
    published.parent.mkdir()
    published.write_bytes(zipped({"enwik8": CONTENT}))
    monkeypatch.setattr(Enwik8, "URL", str(published))
    folder = tmp_path / "tfds"
    with pytest.raises(UserError, match="add --download; or put enwik8.zip into .*/downloads/manual") as error:
        Source("enwik8", folder).prepare()
    message(error)
    with pytest.raises(DataNotPrepared, match="--mode=prepare --download; or put enwik8.zip into ") as error:
        open_text("enwik8", folder)
    message(error)
    assert not folder.exists()
    Source("enwik8", folder).prepare(download=True)
    assert b"".join(texts("enwik8", folder).values()) == CONTENT


@pytest.mark.parametrize("name, archive", [("wikitext103", "wikitext-103"), ("wikitext2", "wikitext-2")])
@pytest.mark.parametrize("unpacked", [False, True])
def test_wikitext_is_its_three_files(tmp_path, manual, name, archive, unpacked):
    content = zipped({f"{archive}/wiki.{part}.tokens": lines for part, lines in WIKITEXT.items()})
    if unpacked:
        zipfile.ZipFile(io.BytesIO(content)).extractall(manual)
    else:
        (manual / f"{archive}-v1.zip").write_bytes(content)
    Source(name, tmp_path).prepare()
    assert texts(name, tmp_path) == {split: WIKITEXT[part].encode() for split, part in PREPARED.items()}


@pytest.fixture(scope="module")
def sample_dir(tmp_path_factory):
    """A TFDS folder in which opening the embedded sample has prepared it."""
    folder = tmp_path_factory.mktemp("tfds_sample")
    open_text("wikipedia_sample", folder)
    return folder


def test_the_sample_is_the_package_s_file_cut_by_position_without_importing_the_package(sample_dir):
    train, validation, test = texts("wikipedia_sample", sample_dir).values()
    assert train + validation + test == bz2.decompress(wikipedia_sample._file().read_bytes())
    assert (len(train), len(validation), len(test)) == (5_480_771, 304_487, 304_488)
    assert train.startswith(b"<mediawiki")
    assert "gensim" not in sys.modules


def test_a_prepared_sample_opens_without_the_package(sample_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "gensim", None)
    assert open_text("wikipedia_sample", sample_dir).num_tokens("test") == 304_488


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gensim", None)
    with pytest.raises(UserError, match="No module named 'gensim'") as error:
        open_text("wikipedia_sample", tmp_path)
    message(error)


def test_a_package_with_another_file_is_refused(tmp_path, monkeypatch):
    (tmp_path / "test" / "test_data").mkdir(parents=True)
    file = tmp_path / "test" / "test_data" / "enwiki-latest-pages-articles1.bz2"
    file.write_bytes(bz2.compress(b"<mediawiki>"))
    monkeypatch.setattr(wikipedia_sample, "_file", lambda: file)
    with pytest.raises(UserError, match=f"{file} unpacks to 11 bytes instead of 6,089,746") as error:
        open_text("wikipedia_sample", tmp_path)
    message(error)


def test_a_damaged_record_file_is_named_when_the_text_is_read(tmp_path, manual):
    (manual / "enwik8").write_bytes(CONTENT)
    Source("enwik8", tmp_path).prepare()
    (file,) = pathlib.Path(tmp_path, "enwik8", "1.0.0").glob("enwik8-train.tfrecord*")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(tf.errors.OpError) as error:
        open_text("enwik8", tmp_path).tokens("train")
    assert str(damage.explain(error.value)).startswith(f"{file} could not be read completely")

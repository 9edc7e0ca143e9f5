"""Data sets are opened whole or not at all, and what is wrong is said in one line that names the file or folder."""

import errno
import io
import shutil
import tarfile

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from flags.errors import UserError
from tests.trainers.opening import open_images
from trainers.data import damage, stream, synthetic
from trainers.data.builders.digits import Digits
from trainers.data.sources import MANUAL_FILES, DataNotPrepared, Source, data_folder

ONE = tf.distribute.InputContext(1, 0, 1)


def message(error):
    """The text of a caught UserError, which must be one line."""
    assert "\n" not in str(error.value)
    return str(error.value)


def labels(split):
    return [int(example["label"]) for example in stream.examples(split)]


def test_imagenet_opens_as_tfds_wrote_it(fake_imagenet):
    data = open_images("imagenet2012", fake_imagenet)
    assert (fake_imagenet / "imagenet2012" / "5.1.0" / "imagenet2012-train.tfrecord-00000-of-00004").exists()
    assert data.num_classes == 1000 and data.class_names[0] == "n01440764"
    train, validation = data.split("train"), data.split("validation")
    assert (train.num_examples, validation.num_examples) == (64, 23)
    assert len(train.shard_sizes) == 4
    assert set(labels(train)) == set(range(0, 1000, 125))


def test_cifar10_opens_as_tfds_wrote_it(fake_cifar10):
    data = open_images("cifar10", fake_cifar10)
    assert data.class_names[:2] == ("airplane", "automobile") and data.num_classes == 10
    assert (data.split("train").num_examples, data.split("test").num_examples) == (40, 8)
    decoded = [tf.io.decode_png(example["image"]) for example in stream.examples(data.split("train"))]
    assert {tuple(image.shape) for image in decoded} == {(32, 32, 3)}
    assert sorted(labels(data.split("train"))) == sorted([*range(10)] * 4)


def test_records_come_out_as_encoded_bytes(fake_imagenet):
    examples = stream.examples(open_images("imagenet2012", fake_imagenet).split("train"))
    images = [PIL.Image.open(io.BytesIO(example["image"].numpy())) for example in examples]
    assert {image.format for image in images} == {"JPEG"}
    assert [image.mode for image in images].count("L") == 1
    assert [image.mode for image in images].count("CMYK") == 1
    assert len({image.size for image in images}) > 50


@pytest.mark.parametrize(
    "name, command",
    [
        ("cifar10", "the same command with --mode=prepare --download"),
        (
            "imagenet2012",
            "Put {train} and {validation} into {folder}/downloads/manual, then give the same command with",
        ),
    ],
)
def test_a_data_set_that_is_not_there_is_an_error_that_says_how_to_prepare_it(tmp_path, name, command):
    assert not Source(name, tmp_path).is_prepared
    with pytest.raises(DataNotPrepared) as error:
        open_images(name, tmp_path)
    assert f"{name} is not prepared in {tmp_path}" in message(error)
    train, validation = MANUAL_FILES["imagenet2012"]
    assert command.format(folder=tmp_path, train=train, validation=validation) in message(error)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_downloaded_unless_it_is_allowed(tmp_path):
    with pytest.raises(UserError, match="add --download") as error:
        Source("cifar10", tmp_path).prepare()
    assert str(tmp_path) in message(error)


@pytest.mark.parametrize(
    "name, answer",
    [
        ("imagnet2012", "no such data set. Near: imagenet2012"),
        ("cifar10:9.9.9", "only: 3.0.2"),
        ("coco/2017", "not a data set of labelled images"),
    ],
)
def test_a_name_that_cannot_be_used_is_answered_with_what_can(tmp_path, name, answer):
    with pytest.raises(UserError) as error:
        open_images(name, tmp_path)
    assert answer in message(error)


@pytest.mark.parametrize("expression", ["trian", "train[5000:]", "train[7:7]", "train["])
def test_a_split_that_is_not_there_is_answered_with_those_that_are(numbers, expression):
    with pytest.raises(UserError) as error:
        numbers.split(expression)
    assert expression in message(error)
    assert "train (101), test (23)" in message(error)


def test_the_folder_is_the_one_given_else_the_environments_else_the_homes(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", "/env")
    assert data_folder(tmp_path) == str(tmp_path)
    assert data_folder() == "/env"
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", "/home/me")
    assert data_folder() == "/home/me/tensorflow_datasets"


def add(archive, name, content):
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def jpeg():
    return tf.io.encode_jpeg(tf.zeros([8, 8, 3], tf.uint8)).numpy()


def test_imagenet_is_prepared_from_its_two_archives_and_not_from_one(tmp_path, capfd):
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    synset = io.BytesIO()
    with tarfile.open(fileobj=synset, mode="w") as archive:
        add(archive, "n01443537_7.JPEG", jpeg())
    with tarfile.open(manual / "ILSVRC2012_img_train.tar", "w") as archive:
        add(archive, "n01443537.tar", synset.getvalue())
    with pytest.raises(UserError, match=f"cannot be prepared without {manual}/ILSVRC2012_img_val.tar. Put "):
        Source("imagenet2012", tmp_path).prepare()
    assert not Source("imagenet2012", tmp_path).is_prepared

    with tarfile.open(manual / "ILSVRC2012_img_val.tar", "w") as archive:
        add(archive, "ILSVRC2012_val_00000001.JPEG", jpeg())
    Source("imagenet2012", tmp_path).prepare()
    data = open_images("imagenet2012", tmp_path)
    assert [data.class_names[label] for label in labels(data.split("train"))] == ["n01443537"]
    assert labels(data.split("validation")) == [65]  # the class of the first validation image: n01751748
    assert capfd.readouterr().out == ""


def test_a_preparation_that_fails_leaves_nothing_that_could_be_taken_for_whole(tmp_path, monkeypatch):
    whole = Digits._generate_examples

    def full_disk(self, images, labels, indices):
        yield from list(whole(self, images, labels, indices))[:5]
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Digits, "_generate_examples", full_disk)
    with pytest.raises(UserError, match="No space left on device") as error:
        Source("digits", tmp_path).prepare()
    assert str(tmp_path) in message(error)
    assert not Source("digits", tmp_path).is_prepared
    assert list((tmp_path / "digits").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be prepared in .*/file: .*Not a directory"):
        Source("digits", tmp_path / "file").prepare()


def test_a_folder_without_a_description_is_not_taken_for_a_data_set(tmp_path):
    (tmp_path / "digits" / "1.0.0").mkdir(parents=True)
    with pytest.raises(UserError, match="digits/1.0.0 is incomplete"):
        open_images("digits", tmp_path)


@pytest.mark.parametrize("content", ["", "{}", '{"name": "digi', "\xff\xfe"])
def test_a_damaged_description_is_named(digits_dir, tmp_path, content):
    shutil.copytree(digits_dir / "digits", tmp_path / "digits")
    info = tmp_path / "digits" / "1.0.0" / "dataset_info.json"
    info.write_bytes(content.encode("latin1"))
    with pytest.raises(UserError) as error:
        open_images("digits", tmp_path)
    assert f"If {info} is damaged" in message(error)


def test_a_data_set_that_was_not_copied_whole_does_not_open(fake_imagenet, tmp_path):
    folder = tmp_path / "imagenet2012" / "5.1.0"
    shutil.copytree(fake_imagenet / "imagenet2012" / "5.1.0", folder)
    (folder / "imagenet2012-train.tfrecord-00002-of-00004").unlink()
    data = open_images("imagenet2012", tmp_path)
    data.split("validation")
    with pytest.raises(UserError, match="train.tfrecord-00002-of-00004 is missing, one of 1 of 4") as error:
        data.split("train")
    message(error)


def test_files_of_another_format_are_refused(tmp_path):
    Digits(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    with pytest.raises(UserError, match="prepared as array_record"):
        open_images("digits", tmp_path).split("train")


def cut_in_a_record(content):
    return content[: len(content) // 2]


def cut_between_records(content):
    length = int.from_bytes(content[:8], "little")  # then 4 bytes of checksum, the record, 4 bytes of checksum
    return content[: 8 + 4 + length + 4]


def flip_a_byte(content):
    return content[:100] + bytes([content[100] ^ 255]) + content[101:]


def remove_all(content):
    return b""


@pytest.mark.parametrize("damage", [cut_in_a_record, cut_between_records, flip_a_byte, remove_all])
def test_a_damaged_file_is_named_when_it_is_read(fake_imagenet, tmp_path, damage):
    folder = tmp_path / "imagenet2012" / "5.1.0"
    shutil.copytree(fake_imagenet / "imagenet2012" / "5.1.0", folder)
    split = open_images("imagenet2012", tmp_path).split("train")
    file = folder / "imagenet2012-train.tfrecord-00001-of-00004"
    file.write_bytes(damage(file.read_bytes()))
    assert explanation(split).startswith(f"{file} could not be read completely")


def test_a_file_that_vanishes_is_named(fake_imagenet, tmp_path):
    folder = tmp_path / "imagenet2012" / "5.1.0"
    shutil.copytree(fake_imagenet / "imagenet2012" / "5.1.0", folder)
    split = open_images("imagenet2012", tmp_path).split("train")
    file = folder / "imagenet2012-train.tfrecord-00001-of-00004"
    file.unlink()
    assert str(file) in explanation(split)


def explanation(split):
    """What the user is told when the split is read."""
    read = tf.function(lambda: stream.examples(split).reduce(0, lambda count, _: count + 1))
    with pytest.raises(tf.errors.OpError) as error:
        read()
    with pytest.raises(UserError) as explained:
        raise damage.explain(error.value)
    return message(explained)


def test_a_training_stream_names_the_damaged_file(fake_imagenet, tmp_path):
    folder = tmp_path / "imagenet2012" / "5.1.0"
    shutil.copytree(fake_imagenet / "imagenet2012" / "5.1.0", folder)
    file = folder / "imagenet2012-train.tfrecord-00003-of-00004"
    file.write_bytes(cut_between_records(file.read_bytes()))
    data = stream.training_batches(
        open_images("imagenet2012", tmp_path).split("train"),
        lambda example, seed: {"label": example["label"]},
        seed=1,
        first_step=0,
        global_batch=8,
        shuffle_window=16,
        context=ONE,
    )
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        list(data.take(8))
    assert str(file) in str(damage.explain(error.value))


@pytest.mark.parametrize(
    "content", [b"", b"text", jpeg()[:50], b"\x89PNG\r\n\x1a\n"], ids=["none", "text", "jpeg", "png"]
)
def test_an_image_that_cannot_be_decoded_is_explained(content):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        tf.io.decode_image(content, channels=3, expand_animations=False)
    assert "no decodable image" in str(damage.explain(error.value))


def test_other_errors_are_not_explained():
    assert damage.explain(tf.errors.InvalidArgumentError(None, None, "shapes differ")) is None
    assert damage.explain(ValueError("JPEG")) is None


@pytest.fixture(scope="module")
def made_up():
    return synthetic.SyntheticDataSet(num_classes=10, num_train=200, num_test=30, size=(30, 40), num_images=4)


def test_synthetic_data_has_the_shape_of_imagenet():
    data = synthetic.SyntheticDataSet(num_images=2)
    assert data.num_classes == len(data.class_names) == 1000
    assert data.split("train[25022:]").num_examples == 1_281_167 - 25_022
    assert data.split("validation").num_examples == data.split("test").num_examples == 512
    image = next(iter(stream.examples(data.split("test"))))["image"]
    assert tf.io.decode_jpeg(image).shape == (375, 500, 3)
    assert 80_000 < len(image.numpy()) < 130_000


def test_synthetic_data_runs_through_the_same_stream(made_up):
    def decoded(example, seed):
        image = tf.ensure_shape(tf.io.decode_jpeg(example["image"], 3), [30, 40, 3])
        return {"image": image, "label": example["label"]}

    data = stream.training_batches(
        made_up.split("train"), decoded, seed=3, first_step=4, global_batch=50, shuffle_window=64, context=ONE
    )
    seen = [batch["label"] for batch in data.take(4).as_numpy_iterator()]
    assert np.bincount(np.concatenate(seen)).tolist() == [20] * 10


def test_synthetic_cifar10_has_the_shape_of_cifar10():
    data = synthetic.open_synthetic("synthetic_cifar10", seed=0)
    assert data.num_classes == 10
    assert (data.split("train").num_examples, data.split("test").num_examples) == (50_000, 10_000)
    image = next(iter(stream.examples(data.split("train[45000:]"))))["image"]
    assert tf.io.decode_png(image).shape == (32, 32, 3)
    assert 2000 < len(image.numpy()) < 4000  # CIFAR-10's are around 2.5 KB


@pytest.mark.parametrize("expression, count", [("train", 4), ("train[33:]", 4), ("train[:3]+train[9:19]", 4)])
def test_a_synthetic_split_names_each_of_its_images_once(made_up, expression, count):
    split = made_up.split(expression)
    files = [example["image"].numpy() for example in stream.examples(split.distinct)]
    assert len(files) == len(set(files)) == count
    assert set(files) == {example["image"].numpy() for example in stream.examples(split)}


def test_a_synthetic_split_of_fewer_images_than_there_are_names_its_own(made_up):
    split = made_up.split("train[1:3]")
    assert split.distinct is split


def test_synthetic_images_are_the_seeds(made_up):
    def first(seed):
        data = synthetic.SyntheticDataSet(num_images=1, size=(30, 40), seed=seed)
        return next(iter(stream.examples(data.split("test"))))["image"].numpy()

    assert first(0) == first(0) != first(1)

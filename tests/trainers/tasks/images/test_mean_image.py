"""The mean image: what it is the mean of, where it is kept, and that a run goes on with the one it began with."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from flags.data import Images
from flags.errors import UserError
from flags.run import parse
from tests.trainers.opening import open_images
from trainers.data import images, stream, synthetic
from trainers.main import main
from trainers.session import open_session
from trainers.tasks.images import mean_image

RECIPE = Images(
    name="", train_split="train", validation_split=None, test_split="test", resize="bilinear", mean_image=True
)


def numpy_mean(split, data, resolution):
    prepared = [images.evaluation_image(example["image"], data, resolution) for example in stream.examples(split)]
    return np.mean(np.array(prepared, np.float64), axis=0).astype(np.float32)


def test_it_is_the_mean_of_the_training_images_as_evaluation_prepares_them(fake_imagenet, tmp_path):
    data = open_images("imagenet2012", fake_imagenet)
    mean = mean_image.training_mean(data, RECIPE, 24, data_dir=tmp_path)
    assert mean.dtype == np.float32 and mean.shape == (24, 24, 3)
    np.testing.assert_allclose(mean, numpy_mean(data.split("train"), RECIPE, 24), rtol=1e-6)


def test_it_is_exact_on_cifar10(fake_cifar10, tmp_path):
    data = open_images("cifar10", fake_cifar10)
    mean = mean_image.training_mean(data, dataclasses.replace(RECIPE, crop_padding=0), 32, data_dir=tmp_path)
    pixels = [tf.io.decode_png(example["image"]) for example in stream.examples(data.split("train"))]
    np.testing.assert_array_equal(mean, (np.sum(pixels, axis=0) / 40).astype(np.float32))


@pytest.mark.parametrize("expression, expected", [("train", 50), ("train[:11]", 5), ("train[90:]", 95)])
def test_it_is_the_mean_of_the_split_that_is_trained_on(numbers, tmp_path, expression, expected):
    split = numbers.split(expression)  # the files of 101 numbers; TFDS has shuffled them
    labels = [int(example["label"]) for example in stream.examples(split)]
    data = dataclasses.replace(RECIPE, train_split=expression)
    mean = mean_image.training_mean(numbers, data, 2, data_dir=tmp_path)
    np.testing.assert_array_equal(mean, np.full([2, 2, 3], np.mean(labels), np.float32))


def test_it_is_summed_piece_by_piece_and_says_how_far_it_is(numbers, monkeypatch, capsys):
    split = numbers.split("train")
    whole = mean_image.mean_of(split, RECIPE, 2, quiet=False)
    assert capsys.readouterr().err == ""  # not worth a line
    monkeypatch.setattr(mean_image, "CHUNK", 30)
    monkeypatch.setattr(mean_image, "GROUP", 7)
    np.testing.assert_array_equal(mean_image.mean_of(split, RECIPE, 2, quiet=False), whole)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and "30 of 101" in lines[0] and "101 of 101" in lines[-1]
    mean_image.mean_of(split, RECIPE, 2, quiet=True)
    assert capsys.readouterr().err == ""


def test_it_is_the_same_to_the_bit_every_time(fake_imagenet):
    split = open_images("imagenet2012", fake_imagenet).split("train")
    first, second = (mean_image.mean_of(split, RECIPE, 24) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def kept(folder):
    return sorted((folder / "mean_images").iterdir())


def test_the_one_beside_the_data_sets_is_used_the_second_time(numbers, tmp_path):
    mean_image.training_mean(numbers, RECIPE, 2, data_dir=tmp_path)
    (file,) = kept(tmp_path)
    assert file.name.startswith("numbers-1.0.0-train-2-")
    np.save(file, np.full([2, 2, 3], 7, np.float32))
    again = mean_image.training_mean(numbers, RECIPE, 2, data_dir=tmp_path)
    np.testing.assert_array_equal(again, np.full([2, 2, 3], 7))


@pytest.mark.parametrize(
    "fields, resolution",
    [({}, 3), ({"train_split": "train[:50]"}, 2), ({"crop_padding": 0}, 2), ({"resize": "bicubic"}, 2)],
)
def test_other_images_have_another_mean(numbers, tmp_path, fields, resolution):
    mean_image.training_mean(numbers, RECIPE, 2, data_dir=tmp_path)
    mean_image.training_mean(numbers, dataclasses.replace(RECIPE, **fields), resolution, data_dir=tmp_path)
    assert len(kept(tmp_path)) == 2


def test_augmentation_does_not_change_the_mean(numbers, tmp_path):
    for crop in ("scale_jitter", "pad_and_shift"):
        data = dataclasses.replace(RECIPE, crop=crop, flip=crop == "scale_jitter", lighting=0.1)
        mean_image.training_mean(numbers, data, 2, data_dir=tmp_path)
    assert len(kept(tmp_path)) == 1


@pytest.mark.parametrize("content", [b"", b"text", b"\x93NUMPY\x01\x00"])
def test_a_damaged_one_beside_the_data_sets_is_replaced(numbers, tmp_path, content):
    mean = mean_image.training_mean(numbers, RECIPE, 2, data_dir=tmp_path)
    (file,) = kept(tmp_path)
    file.write_bytes(content)
    np.testing.assert_array_equal(mean_image.training_mean(numbers, RECIPE, 2, data_dir=tmp_path), mean)
    np.testing.assert_array_equal(np.load(file), mean)


def test_a_folder_that_cannot_be_written_is_no_error(numbers, tmp_path):
    (tmp_path / "mean_images").write_text("in the way")
    assert mean_image.training_mean(numbers, RECIPE, 2, data_dir=tmp_path)[0, 0, 0] == 50


def test_of_synthetic_data_each_image_counts_once(tmp_path):
    data = synthetic.SyntheticDataSet(num_train=1_281_167, size=(30, 40), num_images=5)
    mean = mean_image.training_mean(data, RECIPE, 16, data_dir=tmp_path)
    np.testing.assert_allclose(mean, numpy_mean(data.split("train[:5]"), RECIPE, 16), rtol=1e-6)
    assert list(tmp_path.iterdir()) == []


# In a run

TINY = (
    "--experiment=resnet20_cifar10",
    "--data=sample",
    "--strategy=one_device",
    "--devices=cpu:0",
    "--set=data.train_split=train[:96]",
    "--set=data.validation_split=none",
    "--set=data.test_split=test[:20]",
    "--set=train.steps=2",
    "--set=train.global_batch=16",
    "--set=train.eval_batch=20",
)


def command(folder, data_dir, *arguments):
    return ["main", *TINY, f"--model_dir={folder}", f"--data_dir={data_dir}", *arguments]


def of_finished(folder, data_dir, *arguments):
    return ["main", f"--model_dir={folder}", f"--data_dir={data_dir}", *TINY[2:4], *arguments]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, digits_dir):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(command(folder, digits_dir)) == 0
    return folder


def test_a_run_keeps_the_mean_of_what_it_was_trained_on(finished, digits_dir):
    session = open_session(parse(of_finished(finished, digits_dir, "--mode=evaluate")))
    expected = numpy_mean(session.task.dataset.split("train[:96]"), session.recipe.data, 32)
    np.testing.assert_allclose(np.load(finished / "mean_image.npy"), expected, rtol=1e-6)


def test_the_runs_own_mean_image_wins(finished, digits_dir, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    other = np.full([32, 32, 3], 200, np.float32)
    np.save(folder / "mean_image.npy", other)
    for arguments in (command(folder, digits_dir), of_finished(folder, digits_dir, "--mode=export")):
        session = open_session(parse(arguments))
        np.testing.assert_array_equal(session.task.mean_image, other)
        np.testing.assert_array_equal(session.task.mean_image, other)
    assert main(of_finished(folder, digits_dir, "--mode=evaluate", "--json")) == 0
    loss = json.loads(capsys.readouterr().out)["metrics"]["loss"]
    before = json.loads((finished / "results.json").read_text())["metrics"]["loss"]
    assert loss != pytest.approx(before, rel=1e-3)


def test_a_mean_image_in_a_folder_without_a_run_is_nobodys(digits_dir, tmp_path):
    np.save(tmp_path / "mean_image.npy", np.full([32, 32, 3], 200, np.float32))
    session = open_session(parse(command(tmp_path, digits_dir)))
    assert session.task.mean_image.max() < 200


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01\x00v\x00", None])
def test_a_damaged_one_in_the_runs_folder_is_named(finished, digits_dir, tmp_path, capsys, damage):
    file = tmp_path / "mean_image.npy"
    shutil.copy(finished / "config.json", tmp_path)
    if damage is None:
        np.save(file, np.zeros([24, 24, 3], np.float32))
    else:
        file.write_bytes(damage)
    assert main(command(tmp_path, digits_dir)) == 2
    error = capsys.readouterr().err.strip()
    assert str(file) in error and "delete the file" in error and len(error.splitlines()) == 1


def test_a_run_whose_mean_image_was_deleted_goes_on_with_the_same(finished, digits_dir, tmp_path):
    shutil.copy(finished / "config.json", tmp_path)
    session = open_session(parse(command(tmp_path, digits_dir)))
    np.testing.assert_array_equal(session.task.mean_image, np.load(finished / "mean_image.npy"))


def test_the_exported_model_subtracts_it(finished, digits_dir):
    session = open_session(parse(of_finished(finished, digits_dir, "--mode=export")))
    files = [example["image"] for example in stream.examples(session.task.dataset.split("test[:4]"))]
    served = tf.saved_model.load(str(finished / "saved_model")).signatures["serving_default"](images=tf.stack(files))
    mean = np.load(finished / "mean_image.npy")
    pixels = [images.evaluation_image(file, session.recipe.data, 32) - mean for file in files]
    logits = keras.saving.load_model(finished / "model.keras")(tf.stack(pixels), training=False)
    np.testing.assert_allclose(served["probabilities"], tf.nn.softmax(logits), atol=1e-5)


def test_pictures_of_the_inputs_show_them_as_they_were_before(finished, digits_dir):
    session = open_session(parse(of_finished(finished, digits_dir, "--mode=evaluate", "--set=data.crop=none")))
    shown = session.task.first_inputs()[:16]
    seen = next(iter(session.task._batches(0, 16, tf.distribute.InputContext())))["image"]
    np.testing.assert_allclose(shown, seen + session.task.mean_image, atol=1e-4)
    assert np.min(shown) == 0 and 200 < np.max(shown) <= 255


@pytest.mark.parametrize("mode", ["describe", "benchmark"])
def test_what_only_measures_takes_no_pass_over_the_data(tmp_path, mode):
    run = parse(["main", *TINY[:1], "--data=synthetic", f"--data_dir={tmp_path}", *TINY[2:4], f"--mode={mode}"])
    session = open_session(run, dry=mode == "describe")
    np.testing.assert_array_equal(session.task.mean_image, np.zeros([32, 32, 3]))


def test_recipes_without_one_have_none(tmp_path):
    arguments = ["main", "--experiment=effnet_b0", "--data=synthetic", *TINY[2:4], f"--model_dir={tmp_path}"]
    session = open_session(parse(arguments))
    assert session.task.mean_image is None and session.task.mean_image is None


def test_normalising_centred_images_only_divides(tmp_path):
    stddev = "--set=data.stddev=2.0,4.0,8.0"
    arguments = ["main", TINY[0], "--data=synthetic", *TINY[2:4], "--mode=describe", stddev]
    task = open_session(parse(arguments), dry=True).task
    np.testing.assert_allclose(task.normalise(tf.constant([8.0, -8.0, 8.0])), [4, -2, 1])


def test_reading_refuses_what_is_not_finite(tmp_path):
    (tmp_path / "mean_image.npy").write_bytes(mean_image.as_bytes(np.full([2, 2, 3], np.nan, np.float32)))
    with pytest.raises(UserError, match="finite"):
        mean_image.read(tmp_path / "mean_image.npy", 2)

"""Testing as the ResNet paper does: crops, scales and ensembles, every example once, against NumPy."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_models
from flags.run import parse
from trainers.data import images, stream
from trainers.main import main
from trainers.session import open_session
from trainers.tasks.images.evaluation import ImageEvaluation

ONE_CPU = ("--strategy=one_device", "--devices=cpu:0")
ON_IMAGENET = (
    "main", "--experiment=effnet_b0", "--data=paper", *ONE_CPU, "--set=model.width=0.1", "--set=model.depth=0.1",
    "--set=model.resolution=32", "--set=train.eval_batch=40", "--set=train.select=last", "--set=data.crop_padding=8",
    "--set=data.train_split=train", "--set=data.validation_split=validation", "--set=data.test_scales=32,45,70",
)  # fmt: skip
SPLIT = "validation[:7]"


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def metrics_of(probabilities, labels, smoothing):
    """Loss, top-1 and top-5 of [examples, classes], as NumPy has them."""
    targets = np.eye(probabilities.shape[1])[labels] * (1 - smoothing) + smoothing / probabilities.shape[1]
    ranks = (probabilities > probabilities[np.arange(len(labels)), labels][:, None]).sum(axis=1)
    loss = -(targets * np.log(probabilities)).sum(axis=1).mean()
    return {"loss": loss, "top1": np.mean(ranks < 1), "top5": np.mean(ranks < 5), "examples": len(labels)}


def assert_same(numbers, expected):
    assert numbers.keys() == expected.keys()
    for name, value in expected.items():
        assert numbers[name] == pytest.approx(value, rel=1e-4), name


@pytest.fixture(scope="module")
def session(fake_imagenet):
    return open_session(parse([*ON_IMAGENET, f"--data_dir={fake_imagenet}"]))


@pytest.fixture(scope="module")
def model(session):
    """A network whose answers differ: made, not trained, with a head that is large enough."""
    keras.utils.set_random_seed(3)
    model = session.task.build_model()
    head = model.get_layer("predictions").kernel
    head.assign(np.random.default_rng(0).normal(size=head.shape, scale=5.0))
    return model


@pytest.fixture(scope="module")
def examples(session):
    return list(stream.examples(session.task.dataset.split(SPLIT)))


def ten_crop_probabilities(session, model, encoded):
    crops = images.ten_crops(encoded, session.recipe.data, 32, None)
    return np.exp(log_softmax(model(session.task.normalise(crops), training=False))).mean(axis=0)


def multi_scale_probabilities(session, model, encoded):
    network = tf_models.fully_convolutional(model)
    found = []
    for scale in session.recipe.data.test_scales:
        image = images.whole_image(encoded, session.recipe.data, scale, None).numpy()
        for view in (image, image[:, ::-1]):
            scores = np.asarray(network(session.task.normalise(view[None]), training=False), np.float64)
            found.append(np.exp(log_softmax(scores.mean(axis=(0, 1, 2)))))
    return np.mean(found, axis=0)


REFERENCE = {"ten_crop": ten_crop_probabilities, "multi_scale": multi_scale_probabilities}


@pytest.mark.parametrize("protocol", REFERENCE)
def test_probabilities_are_averaged_over_views_and_every_example_counts_once(session, model, examples, protocol):
    """7 images of different sizes, of which 4 (ten crops) or 1 (whole images) go into a batch."""
    probabilities = np.stack([REFERENCE[protocol](session, model, example["image"]) for example in examples])
    labels = np.array([int(example["label"]) for example in examples])
    expected = metrics_of(probabilities, labels, session.recipe.train.label_smoothing)
    evaluation = session.task.evaluation(protocol, session.strategy, model)
    assert_same(evaluation.run(SPLIT), expected)


@pytest.mark.parametrize("protocol", ["centre_crop", *REFERENCE])
def test_two_replicas_test_as_one(session, model, fake_imagenet, two_replicas, protocol):
    run = parse([*ON_IMAGENET, f"--data_dir={fake_imagenet}"])
    mirrored = open_session(run, strategy=two_replicas)
    with two_replicas.scope():
        copy = mirrored.task.build_model()
    copy.set_weights(model.get_weights())
    one = session.task.evaluation(protocol, session.strategy, model).run(SPLIT)
    assert_same(mirrored.task.evaluation(protocol, mirrored.strategy, copy).run(SPLIT), one)


def test_an_ensemble_is_the_mean_of_probabilities(session, model, examples):
    keras.utils.set_random_seed(4)
    other = session.task.build_model()
    views = [session.task.views(how, which) for how, which in (("ten_crop", model), ("centre_crop", other))]
    numbers = ImageEvaluation(session.task, session.strategy, model, views).run(SPLIT)
    pixels = [images.evaluation_image(example["image"], session.recipe.data, 32) for example in examples]
    singles = np.exp(log_softmax(other(session.task.normalise(np.stack(pixels)), training=False)))
    crops = np.stack([ten_crop_probabilities(session, model, example["image"]) for example in examples])
    labels = np.array([int(example["label"]) for example in examples])
    assert_same(numbers, metrics_of((crops + singles) / 2, labels, session.recipe.train.label_smoothing))


# From the command line

TINY = (
    "--experiment=resnet20_cifar10", "--data=sample", *ONE_CPU, "--quiet", "--set=data.train_split=train[:96]",
    "--set=data.validation_split=none", "--set=data.test_split=test[:30]", "--set=train.steps=3",
    "--set=train.global_batch=16", "--set=train.eval_batch=20", "--set=data.test_protocol=ten_crop",
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory, digits_dir):
    """The folders of two runs of different seeds, tested on ten crops."""
    folders = [tmp_path_factory.mktemp("runs") / f"seed{seed}" for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        assert main(["main", *TINY, f"--model_dir={folder}", f"--data_dir={digits_dir}", f"--seed={seed}"]) == 0
    return folders


def results(folder):
    return json.loads((folder / "results.json").read_text())


def answer(capsys, *arguments):
    capsys.readouterr()
    assert main(["main", "--mode=evaluate", "--json", *ONE_CPU, *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys, *arguments):
    capsys.readouterr()
    assert main(["main", *ONE_CPU, *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
    return error


def test_a_run_is_tested_as_its_recipe_says_and_says_so(runs, digits_dir, capsys):
    assert results(runs[0])["test_protocol"] == "ten_crop"
    again = answer(capsys, f"--model_dir={runs[0]}", f"--data_dir={digits_dir}")
    assert again["test_protocol"] == "ten_crop"
    assert_same(again["metrics"], results(runs[0])["metrics"])


def test_another_protocol_can_be_asked_for(runs, digits_dir, capsys):
    scales = ("--set=data.test_protocol=multi_scale", "--set=data.test_scales=32,40")
    other = answer(capsys, f"--model_dir={runs[0]}", f"--data_dir={digits_dir}", *scales)
    assert other["test_protocol"] == "multi_scale" and other["metrics"]["examples"] == 30
    assert other["metrics"]["loss"] != pytest.approx(results(runs[0])["metrics"]["loss"], rel=1e-3)


def test_an_ensemble_of_two_runs_is_tested(runs, digits_dir, capsys):
    both = answer(capsys, f"--ensemble={runs[0]},{runs[1]}", f"--data_dir={digits_dir}")
    assert [member["model_dir"] for member in both["ensemble"]] == [str(folder) for folder in runs]
    assert both["metrics"]["examples"] == 30
    singles = [results(folder)["metrics"]["loss"] for folder in runs]
    assert both["metrics"]["loss"] < np.mean(singles)  # by Jensen's inequality


def test_an_ensemble_of_a_run_with_its_copy_is_that_run(runs, digits_dir, tmp_path, capsys):
    shutil.copytree(runs[0], tmp_path / "copy")
    both = answer(capsys, f"--ensemble={runs[0]},{tmp_path / 'copy'}", f"--data_dir={digits_dir}")
    assert_same(both["metrics"], results(runs[0])["metrics"])


def test_an_ensemble_on_different_data_is_refused(runs, digits_dir, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(runs[0], other)
    config = json.loads((other / "config.json").read_text())
    config["overrides"].append("data.test_split=test[30:60]")
    (other / "config.json").write_text(json.dumps(config))
    error = refusal(capsys, "--mode=evaluate", f"--ensemble={runs[0]},{other}", f"--data_dir={digits_dir}")
    assert str(other) in error and "test[30:60]" in error and "same data" in error


def test_a_split_that_the_run_has_not_is_refused(runs, digits_dir, capsys):
    error = refusal(
        capsys, "--mode=evaluate", f"--model_dir={runs[0]}", f"--data_dir={digits_dir}", "--split=validation"
    )
    assert "--split=validation" in error


# Imported weights


@pytest.fixture(scope="module")
def weights(runs, tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "elsewhere.keras"
    shutil.copy(runs[0] / "model.keras", file)
    return f"--init_from={file}"


def test_imported_weights_are_tested_without_a_run(runs, weights, digits_dir, capsys):
    capsys.readouterr()
    tiny = [flag for flag in TINY if flag != "--quiet"]
    assert main(["main", "--mode=evaluate", "--json", *tiny, f"--data_dir={digits_dir}", weights]) == 0
    printed = capsys.readouterr()
    assert_same(json.loads(printed.out)["metrics"], results(runs[0])["metrics"])
    assert "arrays loaded into resnet20_cifar" in printed.err


def test_imported_weights_are_exported_into_a_folder_that_is_like_a_runs(runs, weights, digits_dir, tmp_path, capsys):
    line = ["main", "--mode=export", *TINY, f"--data_dir={digits_dir}", f"--model_dir={tmp_path}", weights]
    assert main(line) == 0
    folder = (f"--model_dir={tmp_path}", f"--data_dir={digits_dir}")
    assert_same(answer(capsys, *folder)["metrics"], results(runs[0])["metrics"])
    served = tf.saved_model.load(str(tmp_path / "saved_model")).signatures["serving_default"]
    assert served(images=tf.constant([tf.io.encode_png(np.zeros([28, 28, 3], np.uint8)).numpy()]))
    assert str(tmp_path) in refusal(capsys, *line[1:])  # it holds a run now


def test_imported_weights_without_a_head_of_the_datas_classes_are_refused(weights, capsys):
    line = ["--mode=evaluate", "--experiment=resnet20_cifar10", "--data=synthetic", "--set=data.name=synthetic"]
    error = refusal(capsys, *line, weights)
    assert "head replaced: 10 -> 1000 classes" in error and "evaluate" in error

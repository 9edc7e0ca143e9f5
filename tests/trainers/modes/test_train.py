"""A whole run of a tiny EfficientNet on the embedded digits: what it prints, leaves behind and refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from flags.run import parse
from trainers.main import main
from trainers.run.checkpoints import Checkpoints

TINY = (
    "--experiment=effnet_b0",
    "--data=sample",
    "--set=model.width=0.1",
    "--set=model.depth=0.1",
    "--set=data.train_split=train[:96]",
    "--set=data.validation_split=train[96:128]",
    "--set=data.test_split=test[:50]",
    "--set=train.steps=12",
    "--set=train.global_batch=16",
    "--set=train.log_every=4",
    "--set=train.eval_every=6",
    "--set=train.checkpoint_every=4",
    "--set=train.eval_batch=20",
)
ONE_CPU = ("--strategy=one_device", "--devices=cpu:0")  # two logical CPUs are configured in the tests' process


def command(folder, data_dir, *arguments):
    return ["main", *TINY, f"--model_dir={folder}", f"--data_dir={data_dir}", *arguments]


def start(folder, data_dir, *arguments):
    """The same in a process of its own."""
    line = [sys.executable, "-m", "trainers.main", *command(folder, data_dir, *arguments)[1:]]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def weights_of(folder):
    """All variables of the newest checkpoint, by name."""
    checkpoints = Checkpoints(folder / "checkpoints", keep=3)
    reader = tf.train.load_checkpoint(str(checkpoints.path(checkpoints.steps()[-1]) / "variables"))
    return {
        name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name.startswith("variables")
    }


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, digits_dir):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(command(folder, digits_dir, *ONE_CPU)) == 0
    return folder


def test_a_run_leaves_every_file_of_the_design(finished):
    left = {path.name for path in finished.iterdir()}
    assert left >= {
        "config.json", "metrics.jsonl", "results.json", "checkpoints", "train", "eval", "saved_model", "model.keras",
    }  # fmt: skip
    assert not [name for name in left if "writing" in name]


def test_config_holds_the_whole_recipe_versions_and_command(finished):
    config = json.loads((finished / "config.json").read_text())
    assert config["experiment"] == "effnet_b0" and config["data"] == "sample" and config["seed"] == 0
    assert config["recipe"]["train.global_batch"] == 16 and config["recipe"]["optimizer.decay"] == 0.9
    assert config["versions"]["tensorflow"] == tf.__version__ and len(config["git_commit"]) == 40
    assert "train.steps=12" in config["overrides"]


def test_metrics_are_logged_at_their_steps(finished):
    lines = read_lines(finished / "metrics.jsonl")
    assert [line["step"] for line in lines if line["split"] == "train"] == [4, 8, 12]
    assert [line["step"] for line in lines if line["split"] == "eval"] == [6, 12]
    train = lines[0]
    names = {"loss", "top1", "top5", "lr", "examples_per_second", "gradient_norm", "parameter_norm", "waiting"}
    assert names <= set(train)
    assert all(0 <= line[name] <= 1 for line in lines for name in ("top1", "top5"))


def test_results_stand_beside_the_papers_numbers(finished):
    results = json.loads((finished / "results.json").read_text())
    assert results["data"] == "sample" and results["metrics"]["examples"] == 50
    assert results["paper"]["top1"] == 0.771 and "Table 2" in results["paper"]["row"]
    assert results["steps"] == 12 and results["seconds"] > 0
    model = keras.saving.load_model(finished / "model.keras")
    assert results["parameters"] == sum(np.prod(w.shape) for w in model.trainable_weights)
    assert results["multiply_adds"] > 0 and results["deviations"]


def test_checkpoints_are_rotated(finished):
    assert Checkpoints(finished / "checkpoints", keep=3).steps() == [4, 8, 12]


def test_tensorboard_gets_scalars_inputs_recipe_and_hparams(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train, evaluation = (EventAccumulator(str(finished / split)).Reload() for split in ("train", "eval"))
    tags = set(train.Tags()["tensors"])
    assert {"loss", "top1", "lr", "examples_per_second", "waiting", "inputs", "recipe"} <= tags
    assert {"loss", "top1", "top5"} <= set(evaluation.Tags()["tensors"])
    assert "hparams" in {metadata.plugin_data.plugin_name for metadata in train.summary_metadata.values()}
    assert [event.step for event in train.Tensors("loss")] == [4, 8, 12]
    picture = tf.io.decode_png(train.Tensors("inputs")[0].tensor_proto.string_val[2])
    assert picture.shape == (128, 128, 3)  # sixteen digits of 32 pixels


def test_the_exported_model_needs_neither_keras_nor_this_project(finished, tmp_path):
    for name, encode in (("gray.jpg", tf.io.encode_jpeg), ("colour.png", tf.io.encode_png)):
        channels = 1 if "gray" in name else 3
        pixels = tf.cast(tf.random.stateless_uniform([40, 30, channels], [1, 2], 0, 256, tf.int32), tf.uint8)
        (tmp_path / name).write_bytes(encode(pixels).numpy())
    script = f"""
import sys
sys.modules["keras"] = None  # importing it is an error
import tensorflow as tf
served = tf.saved_model.load({str(finished / "saved_model")!r}).signatures["serving_default"]
files = [open({str(tmp_path)!r} + "/" + name, "rb").read() for name in ("gray.jpg", "colour.png")]
answer = served(images=tf.constant(files))
print(answer["probabilities"].shape, answer["class_ids"].shape, float(tf.reduce_sum(answer["probabilities"])))
print(answer["class_names"][0, 0].numpy().decode() == str(answer["class_ids"][0, 0].numpy()))
print(sorted(name for name in sys.modules if name.split(".")[0] in ("trainers", "tf_models", "flags")))
"""
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    line = [sys.executable, "-c", script]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, env=env, check=True)
    assert done.stdout.splitlines() == ["(2, 10) (2, 5) 2.0", "True", "[]"]


def test_evaluate_gives_the_numbers_of_the_run(finished, digits_dir, capsys):
    arguments = ["main", "--mode=evaluate", f"--model_dir={finished}", f"--data_dir={digits_dir}", "--json", *ONE_CPU]
    assert main(arguments) == 0
    evaluated = json.loads(capsys.readouterr().out)
    results = json.loads((finished / "results.json").read_text())
    assert evaluated["metrics"]["examples"] == 50
    for name in ("loss", "top1", "top5"):
        assert evaluated["metrics"][name] == pytest.approx(results["metrics"][name], rel=1e-5)


def test_predict_prints_and_writes_labels(finished, tmp_path, capsys):
    for name in ("b.png", "a.png"):
        (tmp_path / name).write_bytes(tf.io.encode_png(tf.zeros([28, 28, 1], tf.uint8)).numpy())
    assert main(["main", "--mode=predict", f"--model_dir={finished}", f"--images={tmp_path}/*.png"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    rows = read_lines(finished / "predictions.jsonl")
    assert len(rows[0]["classes"]) == 5 and rows[0]["classes"][0]["name"] == str(rows[0]["classes"][0]["id"])
    probabilities = [c["probability"] for c in rows[0]["classes"]]
    assert probabilities == sorted(probabilities, reverse=True)


def test_predict_names_the_file_that_is_no_image(finished, tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes(b"not an image")
    assert main(["main", "--mode=predict", f"--model_dir={finished}", f"--images={tmp_path}/*.jpg"]) == 2
    assert f"{tmp_path}/broken.jpg is not a readable image" in capsys.readouterr().err


def test_export_writes_the_saved_model_again(finished, digits_dir, capsys):
    before = (finished / "saved_model" / "saved_model.pb").stat().st_mtime_ns
    arguments = ["main", "--mode=export", f"--model_dir={finished}", f"--data_dir={digits_dir}", *ONE_CPU]
    assert main(arguments) == 0
    assert (finished / "saved_model" / "saved_model.pb").stat().st_mtime_ns > before
    assert "differs from the live model by at most" in capsys.readouterr().out


def test_a_finished_run_started_again_trains_no_more(finished, digits_dir, capsys):
    before = (finished / "metrics.jsonl").read_text()
    assert main(command(finished, digits_dir, *ONE_CPU)) == 0
    assert (finished / "metrics.jsonl").read_text() == before
    assert "resuming from step 12" in capsys.readouterr().err


def test_another_recipe_in_the_folder_is_refused_with_the_difference(finished, digits_dir, capsys):
    assert main(command(finished, digits_dir, "--set=train.label_smoothing=0.2", *ONE_CPU)) == 2
    error = capsys.readouterr().err
    assert "train.label_smoothing: 0.1 -> 0.2" in error and len(error.strip().splitlines()) == 1


def test_another_seed_in_the_folder_is_refused(finished, digits_dir, capsys):
    assert main(command(finished, digits_dir, "--seed=5", *ONE_CPU)) == 2
    assert "seed: 0 -> 5" in capsys.readouterr().err


def test_a_folder_in_use_is_refused_and_its_owner_named(finished, digits_dir):
    process = start(finished, digits_dir, "--set=train.log_every=4")
    from trainers.run.folder import RunFolder

    with RunFolder(finished).locked():
        status, _, error = finish(process)
    assert status == 2
    assert f"process {os.getpid()} on " in error and "is writing this folder" in error


def test_init_from_another_run_replaces_the_head_and_says_so(finished, digits_dir, tmp_path, fake_imagenet, capsys):
    arguments = [
        "main", "--experiment=effnet_b0", "--data=paper", f"--data_dir={fake_imagenet}", f"--model_dir={tmp_path}/run",
        f"--init_from={finished}", *[a for a in TINY if "model." in a or "every" in a], "--set=train.steps=1",
        "--set=model.resolution=32", "--set=train.global_batch=4", "--set=data.train_split=train[:8]",
        "--set=data.validation_split=none", "--set=train.select=last", "--set=train.eval_batch=10",
        "--set=data.test_split=validation", *ONE_CPU,
    ]  # fmt: skip
    assert main(arguments) == 0
    assert "head replaced: 10 -> 1000 classes" in capsys.readouterr().err


@pytest.fixture(scope="module")
def on_imagenet(tmp_path_factory, fake_imagenet):
    """The folder of a run of the paper's own pipeline on a tiny data set in ImageNet's format."""
    folder = tmp_path_factory.mktemp("runs") / "imagenet"
    arguments = [
        "main", "--experiment=effnet_b0", f"--data_dir={fake_imagenet}", f"--model_dir={folder}",
        "--set=model.width=0.1", "--set=model.depth=0.1", "--set=model.resolution=48",
        "--set=data.train_split=train[16:]", "--set=data.validation_split=train[:16]",
        "--set=data.examples_per_epoch=48",
        "--set=train.global_batch=12", "--set=train.steps=6", "--set=train.eval_batch=8", "--set=train.eval_every=3",
        "--set=train.checkpoint_every=6", "--profile=2,4", "--quiet", *ONE_CPU,
    ]  # fmt: skip
    assert main(arguments) == 0
    return folder


def test_the_papers_pipeline_trains_on_files_in_imagenets_format(on_imagenet):
    config = json.loads((on_imagenet / "config.json").read_text())
    results = json.loads((on_imagenet / "results.json").read_text())
    assert config["data"] == results["data"] == "paper"
    assert config["recipe"]["data.augment"] == "autoaugment_v0" and config["recipe"]["data.crop"] == "inception"
    assert results["metrics"]["examples"] == 23 and np.isfinite(results["metrics"]["loss"])


def test_the_selected_checkpoint_is_the_best_on_the_minival(on_imagenet):
    results = json.loads((on_imagenet / "results.json").read_text())
    evaluations = [line for line in read_lines(on_imagenet / "metrics.jsonl") if line["split"] == "eval"]
    best = max(evaluations, key=lambda line: line["top1"])  # the first of equals
    assert results["selected_step"] == best["step"]
    assert best["step"] in Checkpoints(on_imagenet / "checkpoints", keep=3).steps()


def test_the_profiler_writes_the_steps_that_were_asked_for(on_imagenet):
    assert list((on_imagenet / "train" / "plugins" / "profile").rglob("*.xplane.pb"))


def test_predictions_carry_imagenets_label_names(on_imagenet, tmp_path):
    (tmp_path / "one.png").write_bytes(tf.io.encode_png(tf.zeros([28, 28, 3], tf.uint8)).numpy())
    assert main(["main", "--mode=predict", f"--model_dir={on_imagenet}", f"--images={tmp_path}/*.png"]) == 0
    classes = read_lines(on_imagenet / "predictions.jsonl")[0]["classes"]
    assert all(c["name"].startswith("n") and len(c["name"]) == 9 for c in classes)  # WordNet's synsets


def test_replicas_on_logical_cpus_train_from_the_command_line(tmp_path, digits_dir):
    status, _, error = finish(start(tmp_path, digits_dir, "--devices=cpu*2"))
    assert status == 0, error
    assert "2 replicas" in error
    assert json.loads((tmp_path / "results.json").read_text())["metrics"]["examples"] == 50


def test_a_damaged_newest_checkpoint_is_passed_over(finished, tmp_path, digits_dir, caplog):
    unbroken, folder = weights_of(finished), tmp_path / "run"
    shutil.copytree(finished, folder)
    data = folder / "checkpoints" / "step-00000012" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1000])
    assert main(command(folder, digits_dir, *ONE_CPU)) == 0
    assert "step-00000012 cannot be read" in caplog.text
    resumed = weights_of(folder)
    assert [line["step"] for line in read_lines(folder / "metrics.jsonl") if line["split"] == "train"] == [4, 8, 12]
    for name, value in unbroken.items():
        np.testing.assert_allclose(resumed[name], value, rtol=1e-4, atol=1e-5)


def test_a_mistake_leaves_the_folder_free_for_the_corrected_command(tmp_path, digits_dir, capsys):
    assert main(command(tmp_path, digits_dir, f"--init_from={tmp_path}/nowhere.h5", *ONE_CPU)) == 2
    assert "nowhere.h5: no such file" in capsys.readouterr().err
    assert main(command(tmp_path, digits_dir, "--set=data.test_split=tset", *ONE_CPU)) == 2
    assert "Unknown split 'tset'" in capsys.readouterr().err
    assert not (tmp_path / "config.json").exists()


def test_a_loss_that_explodes_ends_the_run_with_one_line(tmp_path, digits_dir, capsys):
    arguments = ("--set=schedule.lr_per_256=1e30", "--set=train.steps=40")
    assert main(command(tmp_path, digits_dir, *arguments, *ONE_CPU)) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "no longer finite at step" in error and "learning rate" in error and "checkpoint" in error


def test_a_data_folder_that_was_named_is_never_replaced_by_the_sample(tmp_path, capsys):
    status = main(["main", "--experiment=effnet_b0", f"--data_dir={tmp_path}", f"--model_dir={tmp_path}/run", *ONE_CPU])
    error = capsys.readouterr().err
    assert status == 2 and not (tmp_path / "run").exists()
    assert "imagenet2012 is not prepared" in error and "--mode=prepare" in error


def test_a_batch_that_does_not_divide_is_refused(tmp_path, digits_dir, capsys):
    arguments = ("--strategy=mirrored", "--devices=cpu:0,cpu:1", "--set=train.global_batch=15")
    assert main(command(tmp_path, digits_dir, *arguments)) == 2
    assert "train.global_batch=15 cannot be divided equally over 2 replicas" in capsys.readouterr().err


def test_the_recipe_of_a_run_is_found_by_its_folder(finished):
    run = parse(["main", "--mode=evaluate", f"--model_dir={finished}"])
    assert run.experiment == "effnet_b0" and run.recipe_for("sample").train.global_batch == 16


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_run_goes_on(tmp_path, digits_dir, number):
    process = start(tmp_path, digits_dir, "--set=train.steps=100000")
    while not (tmp_path / "metrics.jsonl").exists() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(number)
    status, _, error = finish(process)
    assert status == 75, error
    assert "everything is saved" in error.splitlines()[-1]
    stopped_at = Checkpoints(tmp_path / "checkpoints", keep=3).steps()[-1]
    assert f"stopped at step {stopped_at};" in error

"""Folders and files may have any name that the file system allows."""

import shutil

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tf_models.literal_paths import literal
from trainers.main import main
from trainers.run.checkpoints import Checkpoints
from trainers.run.files import matching

NAMES = ["x [1]", "a*", "b?", "~c", "ümlaut", "two\nlines", "back\\slash", "{x,y}", "100% %s", "q" * 250]


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_are_read_back_from_a_folder_of_any_name(tmp_path, name):
    variable = tf.Variable([1.0, 2.0])
    checkpoints = Checkpoints(tmp_path / name / "checkpoints", keep=2)
    checkpoints.save(1, {"v": variable}, {"step": 1})
    variable.assign([0.0, 0.0])
    assert checkpoints.restore_latest({"v": variable}) == {"step": 1}
    assert variable.numpy().tolist() == [1.0, 2.0]


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_is_read_back_from_a_folder_of_any_name(tmp_path, name):
    tf.saved_model.save(tf.train.Checkpoint(v=tf.Variable(3.0)), str(tmp_path / name))
    with literal(tmp_path / name) as path:
        assert tf.saved_model.load(path).v.numpy() == 3.0


def test_an_ordinary_path_is_used_as_it_is(tmp_path):
    with literal(tmp_path / "run 1") as path:
        assert path == str(tmp_path / "run 1")


@pytest.mark.parametrize("name", NAMES)
def test_a_pattern_may_be_the_name_of_a_file(tmp_path, name):
    (tmp_path / name).touch()
    assert matching(str(tmp_path / name)) == [tmp_path / name]


def test_brackets_in_a_pattern_may_be_part_of_a_name(tmp_path):
    for name in ("x [1]", "x 1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image.png").touch()
    assert matching(f"{tmp_path}/x [[]1]/*.png") == [tmp_path / "x [1]" / "image.png"]
    assert matching(f"{tmp_path}/x [1]/*.png") == [tmp_path / "x 1" / "image.png"]  # a pattern first
    (tmp_path / "x 1" / "image.png").unlink()
    assert matching(f"{tmp_path}/x [1]/*.png") == [tmp_path / "x [1]" / "image.png"]


@pytest.mark.slow
def test_every_mode_works_in_a_folder_of_any_name(tmp_path, digits_dir, capsys):
    folder = tmp_path / "x [1]*? ~ü\n\\"
    data, run = folder / "data", folder / "run"
    shutil.copytree(digits_dir, data)
    PIL.Image.fromarray(np.zeros((28, 28), np.uint8)).save(folder / "zero.png")
    own = ["--strategy=one_device", "--devices=cpu:0", f"--data_dir={data}"]
    small = [
        "--set=model.k=2",
        "--set=data.num_train=50",
        "--set=train.global_batch=50",
        "--set=train.measure_fit=false",
    ]
    train = ["--experiment=dd_mlp_mnist", "--data=sample", *own, *small]

    def status(*arguments):
        return main(["main", *arguments])

    assert status(*train, "--set=train.steps=2", f"--model_dir={run}") == 0
    assert status(*train, "--set=train.steps=2", f"--model_dir={run}") == 0  # resumed from its last checkpoint
    assert status("--mode=evaluate", f"--model_dir={run}", *own) == 0
    assert status("--mode=export", f"--model_dir={run}", *own) == 0
    assert status("--mode=predict", f"--model_dir={run}", f"--images={folder}/*.png") == 0
    assert status("--mode=report", f"--model_dir={run}") == 0
    assert status("--mode=report", f"--runs={folder}/r*", f"--model_dir={folder}/report") == 0
    assert (run / "predictions.jsonl").read_text().count("\n") == 1
    assert (folder / "report" / "index.html").exists()
    assert "resuming from step 2" in capsys.readouterr().err

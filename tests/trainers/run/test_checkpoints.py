import errno
import json

import pytest
import tensorflow as tf

from flags.errors import RunError
from trainers.run.checkpoints import Checkpoints, DamagedCheckpoint


@pytest.fixture
def variables():
    return {"model/a": tf.Variable([1.0, 2.0]), "optimizer/b": tf.Variable(7, dtype=tf.int64)}


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints", keep=2)


def assign(variables, value):
    for variable in variables.values():
        variable.assign(tf.fill(variable.shape, tf.cast(value, variable.dtype)))


def save(checkpoints, variables, *steps):
    for step in steps:
        assign(variables, step)
        checkpoints.save(step, variables, {"step": step, "seconds": step / 2})


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def test_the_latest_checkpoint_comes_back_whole(checkpoints, variables):
    save(checkpoints, variables, 10, 20)
    assign(variables, 0)
    assert checkpoints.restore_latest(variables) == {"step": 20, "seconds": 10.0}
    assert variables["model/a"].numpy().tolist() == [20.0, 20.0] and variables["optimizer/b"].numpy() == 20


def test_only_the_latest_are_kept(checkpoints, variables):
    save(checkpoints, variables, 10, 20, 30, 40)
    assert checkpoints.steps() == [30, 40]


def test_the_best_is_kept_however_old_it_is(checkpoints, variables):
    save(checkpoints, variables, 10)
    checkpoints.mark_best(10, "top1", 0.9)
    save(checkpoints, variables, 20, 30, 40)
    assert checkpoints.steps() == [10, 30, 40]
    assert checkpoints.best == {"step": 10, "metric": "top1", "value": 0.9}


@pytest.mark.parametrize("name", ["variables.data-00000-of-00001", "variables.index"])
def test_a_damaged_newest_checkpoint_is_passed_over_and_reported(checkpoints, variables, caplog, name):
    save(checkpoints, variables, 10, 20)
    damage(checkpoints.path(20) / name)
    caplog.set_level("WARNING", logger="absl")  # a run with --quiet in this process may have raised it
    assert checkpoints.restore_latest(variables)["step"] == 10
    assert variables["model/a"].numpy().tolist() == [10.0, 10.0]
    assert "step-00000020 cannot be read" in caplog.text


@pytest.mark.parametrize("name", ["variables.data-00000-of-00001", "variables.index", "run.json"])
def test_a_run_is_not_begun_anew_when_no_checkpoint_is_whole(checkpoints, variables, name):
    save(checkpoints, variables, 10, 20)
    (checkpoints.path(20) / name).unlink()
    (checkpoints.path(10) / name).write_bytes(b"")
    with pytest.raises(DamagedCheckpoint, match="step-00000010"):
        checkpoints.restore(10, variables)
    with pytest.raises(RunError, match="all checkpoints are damaged"):
        checkpoints.restore_latest(variables)


def test_a_folder_without_checkpoints_begins_a_run(checkpoints, variables):
    assert checkpoints.restore_latest(variables) is None


def test_a_checkpoint_that_lacks_a_variable_is_not_taken_for_whole(checkpoints, variables):
    save(checkpoints, variables, 10)
    with pytest.raises(DamagedCheckpoint):
        checkpoints.restore(10, {**variables, "model/new": tf.Variable(0.0)})


def test_what_a_kill_left_half_written_is_not_a_checkpoint(checkpoints, variables):
    save(checkpoints, variables, 10)
    half = checkpoints.folder / "writing-00000020"
    half.mkdir()
    (half / "variables.index").write_bytes(b"half")
    assert checkpoints.steps() == [10]
    save(checkpoints, variables, 30)
    assert not half.exists()


def test_a_full_disk_leaves_the_last_checkpoint_untouched(checkpoints, variables, monkeypatch):
    save(checkpoints, variables, 10)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("trainers.run.checkpoints.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(20, variables, {"step": 20})
    assert checkpoints.steps() == [10] and not list(checkpoints.folder.glob("writing-*"))


def test_a_damaged_best_mark_counts_as_none(checkpoints, variables):
    save(checkpoints, variables, 10)
    checkpoints.mark_best(10, "top1", 0.9)
    (checkpoints.folder / "best.json").write_text("{")
    assert checkpoints.best is None
    (checkpoints.folder / "best.json").write_text(json.dumps({"step": 99, "metric": "top1", "value": 1.0}))
    assert checkpoints.best is None

"""Reading run folders: what is found, what is damaged, what repeats."""

import json

import pytest

from flags.errors import UserError
from tests.trainers.figures.drawings import not_drawn
from trainers.figures import reading


def test_a_pattern_that_matches_no_run_is_named(write_run, tmp_path):
    write_run()
    (tmp_path / "empty").mkdir()
    for pattern in (f"{tmp_path}/nothing*", f"{tmp_path}/empty"):
        with pytest.raises(UserError, match="Quote the pattern") as raised:
            reading.find([f"{tmp_path}/*", pattern])
        assert f"--runs={pattern}:" in str(raised.value)


def test_folders_without_a_run_are_passed_over_and_runs_found_twice_count_once(write_run, tmp_path):
    folder = write_run()
    (tmp_path / "empty").mkdir()
    assert reading.find([f"{tmp_path}/*", f"{tmp_path}/plain*"]) == [folder]


@pytest.mark.parametrize("content", ['{"experiment": "plain20_cifar10"', "[]", '{"recipe": {"data.name": "cifar10"}}'])
def test_a_damaged_config_is_named(write_run, content):
    folder = write_run()
    (folder / "config.json").write_text(content)
    with pytest.raises(UserError, match=str(folder / "config.json")):
        reading.read(folder)


def test_an_experiment_of_another_version_is_named(write_run):
    folder = write_run()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"experiment": "resnet9_cifar10"}))
    with pytest.raises(UserError, match="resnet9_cifar10 is not one of this version"):
        reading.read(folder)


def test_damaged_results_are_named_and_the_curves_stay(write_run):
    folder = write_run()
    (folder / "results.json").write_text('{"metrics": {"top1": "high"}}')
    record = reading.read(folder)
    assert str(folder / "results.json") in record.damage
    assert not record.is_finished
    assert record.points("eval", "top1")


def test_lines_that_are_cut_or_not_finite_are_passed_over(write_run):
    folder = write_run(train={100: 40})
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 200, "split": "train", "top1": NaN, "loss": 1.5}\n{"step": 300, "spl')
    record = reading.read(folder)
    assert record.points("train", "top1") == pytest.approx({100: 0.6})
    assert record.points("train", "loss")[200] == 1.5


def test_responses_of_an_older_model_are_not_used(write_run):
    folder = write_run(responses={"layer": 1.0})
    (folder / "model.keras").write_text("other weights")
    assert reading.read(folder).measured == {}
    assert "Figure 7: layer responses on CIFAR-10" in dict(not_drawn(folder))

"""A kind of problem that the project does not know is a folder and one line in each of two registries."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

import trainers.tasks
from flags import catalog, tasks
from tests.trainers import brightness
from trainers.main import main


@pytest.fixture(scope="module", autouse=True)
def registered():
    """The kind is known within this module, and unknown again to tests that look at all kinds."""
    brightness.register()
    yield
    del tasks.TASKS["brightness"], trainers.tasks._CLASSES["brightness"]
    del catalog._recipes["brightness_digits"], catalog._modules["brightness_digits"]


def command(folder, digits_dir, *arguments):
    return [
        "main",
        "--experiment=brightness_digits",
        f"--data_dir={digits_dir}",
        f"--model_dir={folder}",
        "--devices=cpu:0",
        "--strategy=one_device",
        *arguments,
    ]


def numbers(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory, digits_dir):
    folder = tmp_path_factory.mktemp("brightness") / "run"
    assert main(command(folder, digits_dir, "--quiet")) == 0
    return folder


def test_it_is_listed_after_the_papers_own():
    assert catalog.names()[-1] == "brightness_digits"


def test_it_trains_and_learns(finished):
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    errors = [row["absolute_error"] for row in rows if row["split"] == "eval"]
    assert errors[-1] < 0.5 * errors[0]
    assert numbers(finished)["metrics"]["examples"] == 1000


def test_it_evaluates_what_it_left(finished, digits_dir, capsys):
    assert main(["main", "--mode=evaluate", f"--model_dir={finished}", f"--data_dir={digits_dir}", "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated["metrics"]["absolute_error"] == pytest.approx(
        numbers(finished)["metrics"]["absolute_error"], rel=1e-6
    )


def test_it_exports_a_saved_model_that_answers(finished, digits_dir, capsys):
    assert main(["main", "--mode=export", f"--model_dir={finished}", f"--data_dir={digits_dir}"]) == 0
    assert "differs from the live model by at most" in capsys.readouterr().out
    served = tf.saved_model.load(str(finished / "saved_model"))
    assert served.serve(np.ones([3, 8, 8], np.float32)).shape == (3, 1)


def test_it_resumes_where_it_was_stopped(finished, tmp_path, digits_dir, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "checkpoints" / "step-00000060")
    (folder / "results.json").unlink()
    assert main(command(folder, digits_dir)) == 0
    assert "resuming from step 40" in capsys.readouterr().err
    assert numbers(folder)["metrics"] == pytest.approx(numbers(finished)["metrics"], rel=1e-4)


def test_it_reports(finished, capsys):
    assert main(["main", "--mode=report", f"--model_dir={finished}"]) == 0
    assert (finished / "report" / "index.html").exists()
    assert "brightness_digits" in (finished / "report" / "tables.md").read_text()


def test_it_describes_itself(digits_dir, capsys):
    arguments = command("unused", digits_dir, "--mode=describe", "--json")
    assert main(arguments) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["parameters"] == 64 * 16 + 16 + 16 + 1 and described["data"]["prepared"]


@pytest.mark.parametrize(
    "mode, line", [("predict", "says how bright an image is"), ("generate", "says how bright an image is")]
)
def test_modes_that_it_does_not_have_are_refused(digits_dir, capsys, mode, line):
    extra = ["--images=*.png"] if mode == "predict" else ["--prompt=a"]
    assert main(["main", "--experiment=brightness_digits", f"--mode={mode}", *extra]) == 2
    assert line in capsys.readouterr().err

"""`--mode=report` on a real run of a few steps, and on copies of it: what it writes, keeps, prints and refuses."""

import csv
import html.parser
import json
import shutil

import numpy as np
import PIL.Image
import pytest

from trainers.main import main

RUN = (
    "main", "--experiment=resnet20_cifar10", "--data=sample", "--strategy=one_device", "--devices=cpu:0", "--quiet",
    "--set=model.resolution=8", "--set=data.train_split=train[:64]", "--set=data.test_split=test[:50]",
    "--set=data.validation_split=test[:50]", "--set=train.global_batch=16", "--set=train.batch_norm_batch=none",
    "--set=train.steps=4", "--set=train.log_every=1", "--set=train.eval_every=2", "--set=train.checkpoint_every=4",
    "--set=train.eval_batch=50", "--set=schedule.boundaries=2,3",
)  # fmt: skip
OWN_FILES = ("config.json", "metrics.jsonl", "results.json", "model.keras", "mean_image.npy")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, digits_dir):
    """The folder of a finished run, not to be changed."""
    folder = tmp_path_factory.mktemp("trained") / "seed0"
    assert main([*RUN, f"--model_dir={folder}", f"--data_dir={digits_dir}"]) == 0
    return folder


@pytest.fixture
def runs(trained, tmp_path):
    """A folder with the run in it; `runs.add(seed)` makes the same run of another seed."""

    class Runs:
        path = tmp_path / "runs"
        first = tmp_path / "runs" / "seed0"

        def add(self, seed):
            folder = self.path / f"seed{seed}"
            shutil.copytree(trained, folder)
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps(config | {"seed": seed}))
            return folder

    found = Runs()
    found.add(0)
    return found


@pytest.fixture
def report(digits_dir, capsys):
    """Runs --mode=report; returns status, stdout and stderr."""

    def call(*arguments):
        capsys.readouterr()
        status = main(["main", "--mode=report", "--quiet", f"--data_dir={digits_dir}", *arguments])
        return status, *capsys.readouterr()

    return call


class Page(html.parser.HTMLParser):
    """What a page refers to, and whether its tags close."""

    def __init__(self, text):
        super().__init__()
        self.links, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_run_gets_its_figures_tables_and_page(runs, report):
    status, out, _ = report(f"--model_dir={runs.first}")
    assert status == 0
    folder = runs.first / "report"
    figures = ("figure6_digits_sample", "figure7_digits_sample", "training_resnet20_cifar10_digits_sample")
    for name in (
        *(f"{figure}{ending}" for figure in figures for ending in (".png", ".svg")),
        "index.html",
        "tables.md",
    ):
        assert (folder / name).stat().st_size > 0
        assert str(folder / name) in out.splitlines()
    assert np.asarray(PIL.Image.open(folder / "figure6_digits_sample.png").convert("L")).std() > 5


def test_tables_hold_what_the_run_measured(runs, report):
    report(f"--model_dir={runs.first}")
    tables = json.loads((runs.first / "report" / "tables.json").read_text())["tables"]
    row = next(table for table in tables if table["name"] == "experiments")["rows"][0]
    results = json.loads((runs.first / "results.json").read_text())
    assert row["top-1 error (%): ours"]["values"] == pytest.approx([100 * (1 - results["metrics"]["top1"])])
    assert row["top-1 error (%): paper"] == pytest.approx(8.75)
    assert row["parameters"] == 269_722


def test_every_table_is_a_csv_file_too(runs, report):
    report(f"--model_dir={runs.first}")
    folder = runs.first / "report"
    tables = json.loads((folder / "tables.json").read_text())["tables"]
    assert {path.stem for path in (folder / "csv").iterdir()} == {table["name"] for table in tables} | {"runs"}
    with (folder / "csv" / "experiments.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    results = json.loads((runs.first / "results.json").read_text())
    assert float(row["top-1 error (%): ours"]) == pytest.approx(100 * (1 - results["metrics"]["top1"]))


def test_the_markdown_begins_with_the_runs_that_it_is_from(runs, report):
    report(f"--model_dir={runs.first}")
    first = (runs.first / "report" / "tables.md").read_text().partition("\n")[0]
    assert first == "Runs: resnet20_cifar10 (the embedded digits, variant sample, seed 0)."


def test_the_page_refers_to_files_beside_it_and_to_nothing_else(runs, report):
    report(f"--model_dir={runs.first}")
    page = Page((runs.first / "report" / "index.html").read_text())
    assert not page.open
    assert page.links
    assert all((runs.first / "report" / link).is_file() for link in page.links)


def test_a_report_leaves_the_runs_own_files_alone(runs, report):
    before = {name: (runs.first / name).read_bytes() for name in OWN_FILES}
    there = {path.name for path in runs.first.iterdir()}
    report(f"--model_dir={runs.first}")
    assert {name: (runs.first / name).read_bytes() for name in OWN_FILES} == before
    assert {path.name for path in runs.first.iterdir()} == there | {"report"}


def test_responses_are_measured_once_and_again_for_another_model(runs, report):
    kept = runs.first / "report" / "layer_responses.json"
    report(f"--model_dir={runs.first}")
    first = json.loads(kept.read_text())
    assert len(first["std"]) == 19
    kept.write_text(json.dumps(first | {"std": dict.fromkeys(first["std"], 1.0)}))
    report(f"--model_dir={runs.first}")
    assert set(json.loads(kept.read_text())["std"].values()) == {1.0}
    (runs.first / "model.keras").touch()
    report(f"--model_dir={runs.first}")
    assert json.loads(kept.read_text())["std"] == first["std"]


def test_several_runs_are_measured_in_one_process_and_reported_in_a_folder_of_their_own(runs, report, tmp_path):
    runs.add(1)
    status, _, _ = report(f"--runs={runs.path}/*", f"--model_dir={tmp_path}/all")
    assert status == 0
    assert "| ResNet-20 | 20 | 0.27 M | 269,722 |" in (tmp_path / "all" / "tables.md").read_text()
    assert all((runs.path / name / "report" / "layer_responses.json").exists() for name in ("seed0", "seed1"))
    assert not (runs.first / "report" / "index.html").exists()


def test_without_the_data_figure_7_is_left_out_with_the_reason(runs, report, tmp_path):
    config = json.loads((runs.first / "config.json").read_text())
    config |= {"data": "paper", "recipe": config["recipe"] | {"data.name": "cifar10"}}
    config["overrides"] = [path for path in config["overrides"] if "boundaries" not in path]
    (runs.first / "config.json").write_text(json.dumps(config))
    status, out, _ = report(f"--model_dir={runs.first}")
    assert status == 0
    assert "cifar10 is not prepared" in out
    assert not (runs.first / "report" / "figure7_cifar10.png").exists()
    assert (runs.first / "report" / "figure6_cifar10.png").exists()


def test_an_unfinished_run_and_a_damaged_one_are_named(runs, report, tmp_path):
    (runs.add(1) / "results.json").unlink()
    (runs.add(2) / "config.json").write_text("{")
    status, out, _ = report(f"--runs={runs.path}/*", f"--model_dir={tmp_path}/all")
    assert status == 0
    page = (tmp_path / "all" / "index.html").read_text()
    for name in ("seed1: not finished", "seed2/config.json"):
        assert name in out
        assert name in page
    assert "| 1 + 1 unfinished |" in (tmp_path / "all" / "tables.md").read_text()


@pytest.mark.parametrize("pattern", ["nothing/*", "runs/seed0/*"])
def test_a_pattern_without_runs_is_a_mistake_of_one_line(runs, report, tmp_path, pattern):
    status, out, err = report(f"--runs={tmp_path}/{pattern}", f"--model_dir={tmp_path}/all")
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert f"--runs={tmp_path}/{pattern}" in err
    assert not (tmp_path / "all").exists()


def test_an_experiment_without_a_run_is_a_mistake_of_one_line(report, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = report("--experiment=resnet32_cifar10")
    assert status == 2
    assert "Train it first" in err


def test_a_report_that_cannot_be_written_is_a_mistake_of_one_line(runs, report, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, err = report(f"--runs={runs.path}/*", f"--model_dir={tmp_path}/file/report")
    assert status == 2
    assert len(err.splitlines()) == 1
    assert str(tmp_path / "file") in err

"""How tables are written."""

import csv
import io
import json

import pytest

from tests.trainers.figures.drawings import groups_of, tabulated
from trainers.figures import tables


def test_a_table_as_json_keeps_every_value(write_run):
    folders = [write_run("resnet20_cifar10", seed=seed, test={200: 8 + seed}) for seed in (0, 1)]
    written = json.loads(json.dumps(tables.as_json(tabulated(*folders)["table6_cifar10"])))
    row = next(row for row in written["rows"] if row["network"] == "ResNet-20")
    assert row["error (%): measured on cifar10"]["values"] == pytest.approx([8, 9])
    assert row["error (%): measured on cifar10"]["n"] == 2


def test_a_table_as_csv_has_mean_deviation_and_every_value(write_run):
    folders = [write_run("resnet20_cifar10", seed=seed, test={200: 8 + seed}) for seed in (0, 1)]
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(tabulated(*folders)["table6_cifar10"]))))
    row = next(row for row in rows if row["network"] == "ResNet-20")
    ours = "error (%): measured on cifar10"
    assert float(row[ours]) == pytest.approx(8.5)
    assert float(row[f"{ours}: std"]) == pytest.approx(0.5**0.5)
    assert [float(value) for value in row[f"{ours}: values"].split()] == pytest.approx([8, 9])
    assert row["parameters: counted"] == "269722"
    assert row["error (%): paper (CIFAR-10)"] == "8.75"
    assert next(row for row in rows if row["network"] == "ResNet-32")[ours] == ""


def test_the_header_line_names_runs_data_and_seeds(write_run):
    folders = [write_run(seed=2), write_run(seed=0), write_run("resnet50", data="sample")]
    assert tables.header_line(groups_of(*folders)) == (
        "Runs: resnet50 (the embedded digits, variant sample, seed 0); "
        "plain20_cifar10 (CIFAR-10, variant paper, seeds 0, 2)."
    )

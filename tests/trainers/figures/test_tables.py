"""How tables are written."""

import json

import pytest

from tests.trainers.figures.drawings import tabulated
from trainers.figures import tables


def test_a_table_as_json_keeps_every_value(write_run):
    folders = [write_run("resnet20_cifar10", seed=seed, test={200: 8 + seed}) for seed in (0, 1)]
    written = json.loads(json.dumps(tables.as_json(tabulated(*folders)["table6_cifar10"])))
    row = next(row for row in written["rows"] if row["network"] == "ResNet-20")
    assert row["error: measured on cifar10"]["values"] == pytest.approx([8, 9])
    assert row["error: measured on cifar10"]["n"] == 2

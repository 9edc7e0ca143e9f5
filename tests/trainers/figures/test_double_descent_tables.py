"""Tables of double descent from trials with made-up numbers, against those numbers."""

import json

import numpy as np
import pytest

from tests.trainers.figures.drawings import groups_of
from tests.trainers.figures.made_up_trials import FIT, OF_MLP
from trainers.figures.double_descent import tables
from trainers.figures.double_descent.trials import peak
from trainers.figures.records import Curve


def tabulated(groups):
    return {table.name: table for table in tables.tabulate(groups)}


def rows_of(table):
    return [dict(zip(table.columns, row)) for row in table.rows]


def test_the_table_has_mean_and_standard_deviation_of_every_width(write_widths):
    table = tabulated(groups_of(*write_widths(seeds=(0, 2))))[f"trials_{OF_MLP}"]
    first = rows_of(table)[0]
    assert [row["width k"] for row in rows_of(table)] == [1, 2, 4, 8]
    assert first["parameters"] == 805
    assert first["training error (%), labels trained on"] == pytest.approx(45)
    assert first["training error (%), true labels"] == pytest.approx(22.5)
    assert first["test error (%)"] == pytest.approx(41)
    assert first["test error (%): std"] == pytest.approx(2**0.5)
    assert first["seeds"] == "2"


def test_a_peak_is_the_highest_above_the_minima_of_both_sides():
    def of(*errors):
        return peak(Curve(np.arange(len(errors)), *3 * (np.array(errors, float),)))

    assert of(50, 20, 25, 20, 40, 10) == (1, 4, 5)
    assert of(50, 40, 30) is None
    assert of(10, 20, 30) is None
    assert of(10) is None


def test_the_verdict_pairs_seeds(write_trial):
    errors = {1: (40, 40), 2: (20, 22), 4: (30, 36), 8: (10, 10)}
    folders = [
        write_trial(test={1: error}, fit={1: FIT[k]}, seed=seed, **{"model.k": k})
        for k, both in errors.items()
        for seed, error in enumerate(both)
    ]
    table = tabulated(groups_of(*folders))[f"verdict_{OF_MLP}"]
    rise, fall, second = rows_of(table)
    assert (rise["from width"], rise["to width"], fall["to width"]) == (2, 4, 8)
    assert rise["difference (points)"] == pytest.approx(12)  # of 10 and 14
    assert rise["s.e. over seeds (points)"] == pytest.approx(2)  # 2.83 / sqrt(2)
    assert rise["ratio (seeds)"] == pytest.approx(6)
    assert second["difference (points)"] == pytest.approx(-11)
    assert rise["threshold"] == 4
    assert rise["s.e. over images (points)"] is None
    assert "Beware of selection" in table.caption


def test_the_verdict_pairs_test_images_where_they_are_kept(write_trial):
    labels = np.zeros(4, int)
    classes = {1: [1, 1, 1, 1], 2: [0, 0, 0, 1], 4: [0, 1, 1, 1], 8: [0, 0, 0, 0]}
    folders = [
        write_trial(
            test={1: 100 * np.mean(found)}, fit={1: FIT[k]}, classes=np.array(found), labels=labels, **{"model.k": k}
        )
        for k, found in classes.items()
    ]
    rise = rows_of(tabulated(groups_of(*folders))[f"verdict_{OF_MLP}"])[0]
    assert rise["difference (points)"] == pytest.approx(50)
    assert rise["s.e. over images (points)"] == pytest.approx(np.std([0, 100, 100, 0], ddof=1) / 2)
    assert rise["s.e. over seeds (points)"] is None


def test_a_curve_that_only_falls_has_no_peak(write_widths):
    table = tabulated(groups_of(*write_widths(test={1: 40, 2: 30, 4: 20, 8: 10})))[f"verdict_{OF_MLP}"]
    (row,) = rows_of(table)
    assert (row["compared"], row["difference (points)"], row["threshold"]) == ("no peak", None, 4)


def test_complexities_are_tabulated_as_brackets_by_width(write_widths):
    folders = write_widths()
    entries = [
        {"point": {"model.k": 4}, "error": "squared", "eps": 1e-6, "low": 4000, "high": None, "censored": True},
        {"point": {"model.k": 2}, "error": "squared", "eps": 1e-6, "low": 900, "high": 1600, "censored": False},
    ]
    (folders[0].parent / "emc.json").write_text(json.dumps({"points": entries}))
    rows = tabulated(groups_of(*folders))[f"complexity_{OF_MLP}"].rows
    assert rows == ((2, "squared error", "1e-06", 900, 1600), (4, "squared error", "1e-06", 4000, None))

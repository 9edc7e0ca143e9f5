"""Heat maps and effective complexity of double descent, against the made-up numbers they show."""

import json

import numpy as np

from tests.trainers.figures.drawings import (
    descents,
    groups_of,
    missing_descents,
    points_of,
)
from tests.trainers.figures.made_up_trials import OF_MLP
from trainers.figures.double_descent import maps


def test_a_heat_map_has_a_cell_for_each_width_and_epoch_and_the_threshold_on_both_sides(write_widths):
    figure = descents(groups_of(*write_widths()))[f"map_width_epochs_{OF_MLP}"].figure
    test, fit = figure.axes[:2]
    for axes, last in ((test, [40, 20, 30, 10]), (fit, [45, 25, 9, 0.5])):
        cells, outline, contour = axes.collections
        np.testing.assert_allclose(cells.get_array()[-1], last)
        assert cells.get_array().shape == (3, 4)
        assert len(contour.get_paths()[0].vertices) > 0


def test_a_heat_map_over_examples_is_drawn_where_both_vary(write_widths):
    folders = sum((write_widths(**{"data.num_train": n}) for n in (1000, 2000, 4000)), [])
    axes = descents(groups_of(*folders))[f"map_width_examples_{OF_MLP}"].figure.axes[0]
    assert axes.get_ylabel() == "training examples n"
    assert axes.collections[0].get_array().shape == (3, 4)


def test_cells_without_a_run_are_blank_and_edges_lie_halfway():
    across, upward, errors = maps.grid({(1, 10): 5.0, (4, 100): 7.0})
    assert (across.tolist(), upward.tolist()) == ([1, 4], [10, 100])
    np.testing.assert_array_equal(errors, [[5, np.nan], [np.nan, 7]])
    np.testing.assert_allclose(maps.edges([1, 4]), [0.5, 2, 8])


def test_test_error_stands_over_complexity_with_its_bracket(write_widths):
    folders = write_widths(**{"data.num_train": 4000})
    entries = [
        {"point": {"model.k": 1}, "error": "zero_one", "eps": 0.1, "low": None, "high": 250, "censored": False},
        {"point": {"model.k": 2}, "error": "zero_one", "eps": 0.1, "low": 900, "high": 1600, "censored": False},
        {"point": {"model.k": 4}, "error": "zero_one", "eps": 0.1, "low": 4000, "high": None, "censored": True},
    ]
    (folders[0].parent / "emc.json").write_text(json.dumps({"points": entries}))
    test, fit = descents(groups_of(*folders))[f"complexity_zero_one_0.1_{OF_MLP}"].figure.axes[:2]
    assert points_of(test, "all runs") == [([250 / 4000, 1200 / 4000, 1], [40, 20, 30])]
    assert points_of(fit, "all runs")[0][1] == [45, 25, 9]
    bars = [segment[:, 0].tolist() for c in test.collections for segment in c.get_segments() if np.ptp(segment[:, 0])]
    assert bars == [[900 / 4000, 1600 / 4000]]


def test_a_damaged_file_of_complexities_counts_as_none(write_widths):
    folders = write_widths()
    (folders[0].parent / "emc.json").write_text('{"points": [{"point": 1}]}')
    assert "emc.json" in missing_descents(groups_of(*folders))["Effective complexity"]

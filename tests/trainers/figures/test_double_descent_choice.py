"""Double descent: an oracle that stops, votes over seeds, and training procedures in one figure."""

import numpy as np
import pytest

from flags import catalog
from flags.papers.double_descent import COMPARED
from tests.trainers.figures import made_up_trials
from tests.trainers.figures.drawings import (
    descents,
    groups_of,
    lines,
    missing_descents,
    points_of,
    texts,
)
from tests.trainers.figures.made_up_trials import OF_MLP, STEPS


def test_an_oracle_stops_each_run_where_its_test_error_is_lowest(write_trial):
    folders = [
        write_trial(test={1: 80, 10: best, 100: 40}, fit={1: 80, 10: 30, 100: 5}, **{"model.k": k})
        for k, best in ((1, 35), (2, 20), (4, 50))
    ]
    drawing = descents(groups_of(*folders))[f"early_stopping_{OF_MLP}"]
    end, oracle = points_of(drawing.figure.axes[0], "all runs")
    assert end == ([1, 2, 4], [40, 40, 40])
    assert oracle == ([1, 2, 4], [35, 20, 40])
    assert points_of(drawing.figure.axes[1], "all runs")[1] == ([1, 2, 4], [30, 30, 5])
    assert "looks at the test labels" in drawing.caption
    assert any("oracle" in text for text in texts(drawing.figure))


def test_the_vote_of_three_seeds_is_right_where_two_are_and_a_tie_goes_to_the_first(write_trial):
    classes = ([0, 1, 2, 1], [0, 0, 1, 1], [1, 0, 0, 1])  # voted: 0, 0, 2 (a tie), 1
    folders = [
        write_trial(
            test={1: 60}, fit={1: 5}, seed=seed, classes=np.array(found), labels=np.zeros(4, int), **{"model.k": k}
        )
        for k in (1, 2)
        for seed, found in enumerate(classes)
    ]
    figure = descents(groups_of(*folders))[f"ensemble_{OF_MLP}"].figure
    assert points_of(figure.axes[0], "all runs") == [([1, 2], [60, 60]), ([1, 2], [50, 50])]


def test_without_the_labels_of_the_test_no_vote_is_drawn(write_trial):
    folders = [
        write_trial(test={1: 50}, fit={1: 5}, seed=seed, classes=np.zeros(4, int), **{"model.k": k})
        for k in (1, 2)
        for seed in (0, 1)
    ]
    assert "`labels`" in missing_descents(groups_of(*folders))["Ensembles"]


@pytest.fixture
def write_figure_6(tmp_path):
    """Writes runs of SGD on clean and on noisy labels, and of Adam on noisy ones."""

    def write():
        noisy, clean = ({"data.label_noise": noise} for noise in (0.4, 0.0))
        better = {width: error - 5 for width, error in made_up_trials.TEST.items()}
        return [
            *made_up_trials.write_widths(tmp_path / "sgd", experiment="dd_cnn5_cifar10", **noisy),
            *made_up_trials.write_widths(tmp_path / "sgd", experiment="dd_cnn5_cifar10", **clean),
            *made_up_trials.write_widths(tmp_path / "adam", experiment="dd_cnn5_cifar10_adam", test=better, **noisy),
        ]

    return write


def test_two_optimizers_stand_in_one_figure_where_all_else_is_alike(write_figure_6):
    figures = {name: drawing for name, drawing in descents(groups_of(*write_figure_6())).items() if "figure6" in name}
    (drawing,) = figures.values()
    test, fit = drawing.figure.axes[:2]
    assert points_of(test, "SGD") == [([1, 2, 4, 8], [40, 20, 30, 10])]
    assert points_of(test, "Adam") == [([1, 2, 4, 8], [35, 15, 25, 5])]
    assert points_of(fit, "SGD") == [([1, 2, 4, 8], [45, 25, 9, 0.5])]
    assert drawing.title == "Figure 6: dd_cnn5_cifar10 on the embedded digits, not CIFAR-10, 40% label noise"


def test_schedules_stand_in_one_figure_over_epochs_a_line_a_rate(tmp_path):
    folders = []
    for schedule, rates in (("constant", (1e-4, 1e-3)), ("inverse_sqrt", (1e-3,))):
        for rate in rates:
            errors = {step: 1000 * rate + step / 10 for step in STEPS}
            experiment = f"dd_resnet18_cifar10_adam_{schedule}"
            folders.append(
                made_up_trials.write_trial(
                    tmp_path / schedule, test=errors, fit=errors, experiment=experiment, **{"schedule.lr": rate}
                )
            )
    groups = groups_of(*folders)
    (drawing,) = [drawing for name, drawing in descents(groups).items() if name.startswith("figure16_")]
    steps_per_epoch = 4000 / 128
    constant = {"constant, 0.0001", "constant, 0.001"}
    assert set(lines(drawing.figure.axes[0])) >= {*constant, "inverse sqrt"}
    assert points_of(drawing.figure.axes[0], "inverse sqrt") == [
        ([step / steps_per_epoch for step in STEPS], [1 + step / 10 for step in STEPS])
    ]


def test_procedures_on_different_data_are_not_compared(tmp_path):
    folders = [
        *made_up_trials.write_widths(tmp_path / "sgd", experiment="dd_cnn5_cifar10", **{"data.label_noise": 0.2}),
        *made_up_trials.write_widths(tmp_path / "adam", experiment="dd_cnn5_cifar10_adam", **{"data.label_noise": 0.4}),
    ]
    groups = groups_of(*folders)
    assert not any("figure6" in name for name in descents(groups))
    assert missing_descents(groups)["Figure 6"] == "its experiments have no data or network in common"


@pytest.mark.parametrize("figure", COMPARED)
def test_the_experiments_that_a_figure_compares_say_that_they_are_of_it(figure):
    number = figure.removeprefix("Figure ")
    assert all(number in catalog.get(name).paper.row.replace(",", "").split() for name in COMPARED[figure])

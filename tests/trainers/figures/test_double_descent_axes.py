"""Double descent over examples, weight decay and epochs, and what varies among trials."""

import pytest

from tests.trainers.figures.drawings import (
    descents,
    groups_of,
    key_row,
    marks_of,
    points_of,
)
from tests.trainers.figures.made_up_trials import OF_MLP, STEPS
from trainers.figures.double_descent.trials import Trials, spread, trials_of


def test_what_varies_is_found_and_repetitions_are_seeds(write_trial):
    folders = [
        write_trial(test={1: 50}, fit={1: 50}, seed=seed, **{"model.k": k, "data.noise_seed": seed})
        for k in (2, 4)
        for seed in (0, 1)
    ]
    (trials,) = trials_of(groups_of(*folders))
    assert trials.varying == {"model.k": [2, 4]}
    assert [len(point.records) for point in trials.points] == [2, 2]


def test_what_changes_with_the_width_is_named_and_not_an_axis(write_trial):
    folders = [write_trial(test={1: 50}, fit={1: 50}, **{"model.k": k, "schedule.lr": 1 / k}) for k in (2, 4, 8)]
    (trials,) = trials_of(groups_of(*folders))
    assert list(trials.varying) == ["model.k"]
    assert trials.following == ["schedule.lr"]
    assert "Changing with it: schedule.lr." in descents(groups_of(*folders))[f"model_wise_{OF_MLP}"].caption


def test_of_many_values_a_few_are_shown_from_the_first_to_the_last():
    assert spread(range(100), 3) == [0, 50, 99]
    assert spread([1, 2], 3) == [1, 2]


def test_trials_know_what_was_measured(write_widths):
    (trials,) = trials_of(groups_of(*write_widths()))
    assert isinstance(trials, Trials)
    assert {"top1", "top1_clean", "loss"} <= trials.measured("fit")
    assert trials.logged("nothing") == set()


def test_sample_wise_marks_the_most_examples_that_are_fitted(write_widths):
    errors, fitted = {1000: 30, 2000: 35, 4000: 20}, {1000: 0, 2000: 8, 4000: 30}
    figure = descents(groups_of(*write_widths(path="data.num_train", test=errors, fit=fitted)))[
        f"sample_wise_{OF_MLP}"
    ].figure
    assert points_of(figure.axes[0], "all runs") == [([1000, 2000, 4000], [30, 35, 20])]
    assert marks_of(figure.axes[0]) == [2000]
    assert key_row(figure.axes[5], "all runs")[0] == "2,000"


def test_a_weight_decay_of_zero_has_a_place_on_the_logarithmic_axis(write_widths):
    errors = {0.0: 30, 0.001: 25, 0.01: 20}
    figure = descents(groups_of(*write_widths(path="optimizer.weight_decay", test=errors, fit=errors)))
    axes = figure[f"over_weight_decay_{OF_MLP}"].figure.axes[2]
    assert points_of(axes, "all runs")[0][0] == pytest.approx([0.0001, 0.001, 0.01])
    axes.figure.draw_without_rendering()
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "0.001", "0.01"]


def test_epoch_wise_counts_epochs_of_the_examples_that_are_used(write_widths):
    folders = write_widths(**{"data.num_train": 1000, "train.global_batch": 100})
    figure = descents(groups_of(*folders))[f"epoch_wise_{OF_MLP}"].figure
    assert figure.axes[2].get_xlabel() == "epochs"
    assert points_of(figure.axes[0], "k = 4") == [([0.1, 1, 10], [60, 25, 30])]
    assert points_of(figure.axes[1], "k = 4") == [([0.1, 1, 10], [49, 19, 9])]
    assert marks_of(figure.axes[0]) == [10, 10]  # of k = 4 and k = 8


def test_a_wiggle_before_anything_is_learnt_is_no_peak_over_epochs(write_trial):
    courses = {1: {1: 88, 2: 78, 3: 86, 10: 5, 100: 2}, 2: {1: 88, 2: 78, 3: 90, 10: 20, 30: 50, 100: 10}}
    settings = {"data.num_train": 1, "train.global_batch": 1}
    folders = [write_trial(test=test, fit=test, **{"model.k": k}, **settings) for k, test in courses.items()]
    figure = descents(groups_of(*folders))[f"epoch_wise_{OF_MLP}"].figure
    assert [key_row(figure.axes[4], f"k = {k}")[2] for k in courses] == ["–", "50.00 at 30"]


def test_the_running_average_of_training_batches_is_shown_nowhere(write_trial):
    folder = write_trial(test=dict.fromkeys(STEPS, 77), fit=dict.fromkeys(STEPS, 5))
    fit = descents(groups_of(folder))[f"epoch_wise_{OF_MLP}"].figure.axes[1]
    assert points_of(fit, "all runs") == [([1, 10, 100], [5, 5, 5])]


def test_runs_with_different_lengths_of_an_epoch_are_drawn_over_steps(write_trial):
    folders = [
        write_trial(test=dict.fromkeys(STEPS, 20), fit=dict.fromkeys(STEPS, 5), **{"data.num_train": n})
        for n in (1000, 2000)
    ]
    axes = descents(groups_of(*folders))[f"epoch_wise_{OF_MLP}"].figure.axes[2]
    assert axes.get_xlabel() == "steps"
    assert points_of(axes, "n = 1,000")[0][0] == [1, 10, 100]

"""The training curves of any experiment, and the table of all experiments."""

import numpy as np

from tests.trainers.figures.drawings import cells_of, drawn, key_row, lines, tabulated, texts


def test_a_single_run_is_drawn_with_loss_error_and_learning_rate(write_run):
    folder = write_run("effnet_b0", train={100: 60, 200: 40}, test={200: 30})
    drawing = drawn(folder)["training_effnet_b0_imagenet2012"]
    loss, error, rate = drawing.figure.axes[:3]
    np.testing.assert_allclose(lines(loss)["training"].get_ydata(), [3, 2])
    np.testing.assert_allclose(lines(error)["evaluation"].get_ydata(), [30])
    np.testing.assert_allclose(lines(rate)["training"].get_ydata(), [0.1, 0.1])
    assert key_row(drawing.figure.axes[3], "evaluation") == ["1", "30.00", "22.90"]


def test_the_figure_of_a_run_on_the_sample_says_whose_numbers_are_on_what(write_run):
    drawing = drawn(write_run("effnet_b0", data="sample"))["training_effnet_b0_digits_sample"]
    assert drawing.title == "effnet_b0 on the embedded digits, not ImageNet"
    assert "ours: the embedded digits; paper: ImageNet" in texts(drawing.figure)


def test_experiments_in_no_figure_of_a_paper_get_one_of_their_own(write_run):
    names = drawn(write_run("plain20_cifar10"), write_run("resnet50"))
    assert "training_resnet50_imagenet2012" in names
    assert "training_plain20_cifar10_cifar10" not in names


def test_every_experiment_has_a_row_with_its_last_training_error_and_changes(write_run):
    folder = write_run("effnet_b0", train={100: 60, 200: 40}, test={200: 30}, changes=("train.steps=200",))
    cells = cells_of(tabulated(folder)["experiments"], "effnet_b0")
    assert cells["top-1 error (%): paper"] == "22.90"
    assert cells["top-1 error (%): ours"] == "30.00"
    assert cells["top-1 error (%): training, at the end"] == "40.00"
    assert cells["changed"] == "train.steps=200"
    assert cells["hours per run"] == "2.00"

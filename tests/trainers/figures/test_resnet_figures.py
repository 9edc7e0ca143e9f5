"""Figures of ResNet from run folders with made-up numbers, against those numbers and the paper's."""

import numpy as np
import pytest

from tests.trainers.figures.drawings import assert_no_overlap, cells_of, drawn, lines, not_drawn, tabulated, texts
from trainers.figures.resnet import figures as resnet


def row_of(figure, name):
    """The cells of a key's row: the texts at the height of a name."""
    for axes in figure.axes:
        for text in axes.texts:
            if text.get_text() == name:
                y = text.get_position()[1]
                return [other.get_text() for other in axes.texts if other.get_position()[1] == y][1:]
    raise AssertionError(f"{name} is in no key")


def test_figure_1_has_training_errors_left_and_test_errors_right(write_run):
    folder = write_run(train={100: 40, 200: 4}, test={100: 50, 200: 12})
    left, right = drawn(folder)["figure1_cifar10"].figure.axes[:2]
    for axes, name, errors in ((left, "plain-20, train", [40, 4]), (right, "plain-20, eval", [50, 12])):
        line = lines(axes)[name]
        assert list(line.get_xdata()) == [100, 200]
        np.testing.assert_allclose(line.get_ydata(), errors)


def test_figure_6_has_panels_only_for_networks_that_ran(write_run):
    folders = [write_run("resnet20_cifar10"), write_run("resnet110_cifar10")]
    assert [axes.get_title("left") for axes in drawn(*folders)["figure6_cifar10"].figure.axes][:1] == ["ResNets"]
    folders += [write_run("plain32_cifar10"), write_run("resnet1202_cifar10")]
    titles = [axes.get_title("left") for axes in drawn(*folders)["figure6_cifar10"].figure.axes[:3]]
    assert titles == ["plain networks", "ResNets", "ResNet-110 and -1202"]


def test_figure_6_dashes_training_errors_and_makes_test_errors_bold(write_run):
    found = lines(drawn(write_run("resnet44_cifar10"))["figure6_cifar10"].figure.axes[0])
    train, test = found["ResNet-44, train"], found["ResNet-44, eval"]
    assert (train.get_linestyle(), test.get_linestyle()) == ("--", "-")
    assert train.get_linewidth() < test.get_linewidth()
    assert train.get_color() == test.get_color() == resnet.COLORS[44]


def test_errors_on_cifar10_have_the_printed_scale(write_run):
    axes = drawn(write_run("resnet20_cifar10", test={32_000: 12, 64_000: 9}))["figure6_cifar10"].figure.axes[0]
    assert axes.get_ylim() == (0, 20)
    assert list(axes.get_yticks()) == [0, 5, 10, 20]
    assert axes.get_xlim() == (0, 64_000)
    assert axes.get_xlabel() == "iter. (1e4)"
    assert axes.xaxis.get_major_formatter()(30_000, 0) == "3"


def test_errors_of_a_short_run_are_seen_whole(write_run):
    folder = write_run("resnet20_cifar10", data="sample", test={100: 90, 200: 30}, train={100: 95, 200: 33})
    axes = drawn(folder)["figure6_digits_sample"].figure.axes[0]
    assert axes.get_ylim()[0] == 0
    assert 66 <= axes.get_ylim()[1] <= 100
    assert axes.get_xlabel() == "iterations"


def test_a_short_run_on_cifar10_is_not_cut_away_by_the_printed_scale(write_run):
    folder = write_run("resnet20_cifar10", test={200: 70}, train={200: 75}, changes=("train.steps=200",))
    assert drawn(folder)["figure6_cifar10"].figure.axes[0].get_ylim()[1] > 75


def test_the_right_panel_of_figure_6_begins_late_in_runs_of_full_length(write_run):
    full = write_run("resnet1202_cifar10", test={1000: 60, 64_000: 8}, train={64_000: 0.1})
    assert drawn(full)["figure6_cifar10"].figure.axes[0].get_xlim() == (35_000, 64_000)


def test_figure_4_draws_networks_of_option_a_alone(write_run):
    folders = [write_run(name) for name in ("plain18", "plain34", "resnet34", "resnet34_b")]
    left, right = drawn(*folders)["figure4_imagenet2012"].figure.axes[:2]
    assert set(lines(left)) == {"plain-18, train", "plain-18, eval", "plain-34, train", "plain-34, eval"}
    assert set(lines(right)) == {"ResNet-34, train", "ResNet-34, eval"}
    assert lines(left)["plain-18, eval"].get_color() == resnet.COLORS[18]


def test_a_figure_without_runs_says_which_are_missing(write_run):
    assert "plain-20" in dict(not_drawn(write_run("resnet20_cifar10")))["Figure 1: plain networks on CIFAR-10"]


def test_reports_on_other_papers_do_not_miss_figures_of_resnet(write_run):
    assert not not_drawn(write_run("effnet_b0"))


def test_seeds_are_one_line_with_a_band(write_run):
    folders = [write_run(seed=seed, test={100: 30 + seed, 200: 10 + seed}) for seed in (0, 1, 5)]
    axes = drawn(*folders)["figure1_cifar10"].figure.axes[1]
    (line,), (band,) = axes.get_lines(), axes.collections
    np.testing.assert_allclose(line.get_ydata(), [32, 12])
    edges = band.get_paths()[0].vertices
    assert edges[edges[:, 0] == 200][:, 1].min() == pytest.approx(10)
    assert edges[edges[:, 0] == 200][:, 1].max() == pytest.approx(15)


def test_a_single_seed_has_no_band(write_run):
    assert not drawn(write_run())["figure1_cifar10"].figure.axes[1].collections


def test_a_key_gives_seeds_mean_and_standard_deviation_beside_the_paper(write_run):
    errors = [dict(train={200: 5 + 2 * seed}, test={200: 12 + seed}) for seed in (0, 1, 2)]
    folders = [write_run("plain56_cifar10", seed=seed, **error) for seed, error in enumerate(errors)]
    figure = drawn(*folders)["figure6_cifar10"].figure
    assert row_of(figure, "plain-56") == ["3", "7.00 ± 2.00", "≈ 5.9", "13.00 ± 1.00", "≈ 13.3"]


@pytest.mark.parametrize(
    ("net", "printed"), [("resnet20", "8.75"), ("resnet110", "6.61 ± 0.16"), ("plain32", "≈ 10.1")]
)
def test_keys_have_the_numbers_of_table_6_or_of_the_plots(write_run, net, printed):
    figure = drawn(write_run(f"{net}_cifar10"))["figure6_cifar10"].figure
    assert row_of(figure, resnet.title_of(net))[-1] == printed


def test_figure_4_has_validation_and_training_errors_beside_the_printed_ones(write_run):
    figure = drawn(write_run("resnet34", train={200: 25}, test={200: 29}))["figure4_imagenet2012"].figure
    assert row_of(figure, "ResNet-34") == ["1", "25.00", "≈ 24.5", "29.00", "≈ 28.3"]


def test_data_sets_do_not_share_axes(write_run):
    both = drawn(write_run(test={200: 9}), write_run(data="sample", test={200: 2}))
    for name, error in (("figure1_cifar10", 9), ("figure1_digits_sample", 2)):
        (line,) = both[name].figure.axes[1].get_lines()
        assert line.get_ydata() == pytest.approx([error])


def test_a_title_says_that_a_sample_is_not_the_papers_data(write_run):
    drawing = drawn(write_run(data="sample"))["figure6_digits_sample"]
    assert drawing.title.endswith("on the embedded digits, not CIFAR-10")
    assert drawing.title in " ".join(texts(drawing.figure))
    assert any("paper: CIFAR-10" in text for text in texts(drawing.figure))


def test_runs_that_hold_images_out_have_figures_of_their_own(write_run):
    names = drawn(write_run("plain20_cifar10"), write_run("plain20_cifar10_45k"))
    assert {"figure6_cifar10", "figure6_cifar10_45k"} <= set(names)


def test_another_recipe_of_a_network_is_another_line_and_named(write_run):
    folders = [write_run(test={200: 9}), write_run(test={200: 8}, changes=("schedule.lr=0.2",))]
    figure = drawn(*folders)["figure6_cifar10"].figure
    assert len(figure.axes[0].get_lines()) == 4
    assert row_of(figure, "plain-20 (a)")[3] == "9.00"
    assert "plain-20 (b): schedule.lr=0.2" in texts(figure)


def test_an_unfinished_run_is_drawn_and_named_but_not_measured(write_run):
    folder = write_run(finished=False, test={100: 30})
    figure = drawn(folder)["figure1_cifar10"].figure
    assert len(figure.axes[1].get_lines()) == 1
    assert row_of(figure, "plain-20") == ["0", "unfinished", "≈ 1.4"]
    assert cells_of(tabulated(folder)["table6_cifar10"], "plain-20")["error (%): measured on cifar10"] == "–"


def test_figure_7_has_layers_in_order_above_and_sorted_below(write_run):
    responses = {f"layer{number}": value for number, value in enumerate((1.0, 3.0, 2.0))}
    figure = drawn(write_run(responses=responses))["figure7_cifar10"].figure
    for axes, values in zip(figure.axes, ([1, 3, 2], [3, 2, 1])):
        (line,) = axes.get_lines()
        assert list(line.get_xdata()) == [1, 2, 3]
        assert list(line.get_ydata()) == values
        assert line.get_linestyle() == "--"
    assert row_of(figure, "plain-20") == ["1", "3.00", "≈ 2.3", "1.00", "≈ 1.3"]


@pytest.mark.parametrize("with_1202", [(), ("resnet1202",)], ids=["two panels", "three panels"])
def test_nothing_of_a_figure_overlaps_or_leaves_it(write_run, with_1202):
    nets = ("plain20", "plain56", "resnet20", "resnet110", *with_1202)
    folders = [write_run(f"{net}_cifar10", seed=seed, test={64_000: 12.5 + seed}) for net in nets for seed in (0, 1)]
    folders.append(write_run("resnet110_cifar10", changes=("schedule.lr=0.2",)))
    for drawing in drawn(*folders).values():
        assert_no_overlap(drawing)

"""Figures of double descent from trials with made-up numbers, against those numbers."""

import json
import types

import numpy as np
import pytest

from flags import catalog
from flags.papers.double_descent import COMPARED
from tests.trainers.figures import made_up_trials
from tests.trainers.figures.drawings import groups_of, lines, texts
from tests.trainers.figures.made_up_trials import MLP, OF_MLP, STEPS
from trainers.figures import papers, style
from trainers.figures.double_descent import figures, maps, tables
from trainers.figures.double_descent.trials import Trials, spread, trials_of
from trainers.figures.style import Drawing, NotDrawn
from trainers.modes import report


def drawn(groups):
    with style.look():
        return {d.name: d for d in figures.draw(groups) if isinstance(d, Drawing)}


def not_drawn(groups):
    with style.look():
        found = [d for d in figures.draw(groups) if isinstance(d, NotDrawn)]
    return {d.title.partition(":")[0]: d.reason for d in found}


def points_of(axes, label):
    """x and y of the curves with this label, without the marks of thresholds."""
    return [
        (line.get_xdata().tolist(), pytest.approx(line.get_ydata().tolist()))
        for line in axes.get_lines()
        if line.get_label() == label and line.get_transform() == axes.transData
    ]


def marks_of(axes, label="10 %"):
    return [line.get_xdata()[0] for line in axes.get_lines() if line.get_label() == label]


def key_row(axes, name):
    y = next(text.get_position()[1] for text in axes.texts if text.get_text() == name)
    return [text.get_text() for text in axes.texts if text.get_position()[1] == y][1:]


def bands_of(axes):
    """Lowest and highest of each band, by x."""
    vertices = [band.get_paths()[0].vertices for band in axes.collections]
    return [{float(x): (v[v[:, 0] == x][:, 1].min(), v[v[:, 0] == x][:, 1].max()) for x in v[:, 0]} for v in vertices]


# What varies


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
    assert "With it changes: schedule.lr." in drawn(groups_of(*folders))[f"model_wise_{OF_MLP}"].caption


def test_of_many_values_a_few_are_shown_from_the_first_to_the_last():
    assert spread(range(100), 3) == [0, 50, 99]
    assert spread([1, 2], 3) == [1, 2]


def test_other_papers_runs_are_left_alone(write_trial):
    groups = groups_of(write_trial(experiment="resnet20_cifar10", test={1: 50}, fit={1: 50}))
    assert drawn(groups) == not_drawn(groups) == {}
    assert list(tables.tabulate(groups)) == []


# Over the width


def test_model_wise_has_test_left_and_training_right_and_the_loss_below(write_widths):
    figure = drawn(groups_of(*write_widths()))[f"model_wise_{OF_MLP}"].figure
    test, fit, test_loss, fit_loss = figure.axes[:4]
    assert points_of(test, "all runs") == [([1, 2, 4, 8], [40, 20, 30, 10])]
    assert points_of(fit, "all runs") == [([1, 2, 4, 8], [45, 25, 9, 0.5])]
    assert points_of(test_loss, "all runs") == [([1, 2, 4, 8], [2.01, 1.01, 1.51, 0.51])]
    assert points_of(fit_loss, "all runs") == [([1, 2, 4, 8], [2.26, 1.26, 0.46, 0.035])]
    assert test.get_ylim() == fit.get_ylim()
    assert test.get_xscale() == "log"


def test_thresholds_stand_where_the_training_error_is_10_and_1_percent(write_widths):
    figure = drawn(groups_of(*write_widths()))[f"model_wise_{OF_MLP}"].figure
    for axes in figure.axes[:4]:
        assert marks_of(axes, "10 %") == [4]
        assert marks_of(axes, "1 %") == [8]
    assert key_row(figure.axes[5], "all runs") == ["4", "8", "0.50"]


def test_the_key_names_the_lowest_error_the_peak_and_the_last(write_widths):
    figure = drawn(groups_of(*write_widths()))[f"model_wise_{OF_MLP}"].figure
    assert key_row(figure.axes[4], "all runs") == ["1", "10.00 at 8", "30.00 at 4", "10.00"]


def test_parameters_stand_above_the_widths(write_widths):
    test = drawn(groups_of(*write_widths()))[f"model_wise_{OF_MLP}"].figure.axes[0]
    (above,) = test.child_axes
    assert above.get_xticks().tolist() == [1, 2, 4, 8]
    assert [text.get_text() for text in above.get_xticklabels()] == ["805", "1.6k", "3.19k", "6.37k"]


def test_seeds_are_a_band_from_the_smallest_to_the_largest_around_their_mean(write_widths):
    drawing = drawn(groups_of(*write_widths(seeds=(0, 1, 4))))[f"model_wise_{OF_MLP}"]
    test = drawing.figure.axes[0]
    assert points_of(test, "all runs") == [([1, 2, 4, 8], [40 + 5 / 3, 20 + 5 / 3, 30 + 5 / 3, 10 + 5 / 3])]
    (band,) = bands_of(test)
    assert {x: pytest.approx(ends) for x, ends in band.items()} == {1: (40, 44), 2: (20, 24), 4: (30, 34), 8: (10, 14)}
    assert test.get_ylim()[1] > 44
    assert "bands reach from the smallest to the largest" in drawing.caption


def test_every_level_of_noise_has_a_line_and_a_threshold_of_its_own(write_widths):
    clean = write_widths(**{"data.label_noise": 0.0}, fit={1: 9, 2: 0, 4: 0, 8: 0})
    noisy = write_widths(**{"data.label_noise": 0.2})
    test = drawn(groups_of(*clean, *noisy))[f"model_wise_{OF_MLP}"].figure.axes[0]
    assert points_of(test, "0% label noise") and points_of(test, "20% label noise")
    assert marks_of(test) == [1, 4]
    colors = [lines(test)[f"{noise}% label noise"].get_color() for noise in (0, 20)]
    assert colors[0] != colors[1]


def test_of_three_things_that_vary_each_is_drawn_as_lines(write_widths):
    folders = []
    for noise in (0.0, 0.2):
        for examples in (1000, 4000):
            folders += write_widths(**{"data.label_noise": noise, "data.num_train": examples})
    names = drawn(groups_of(*folders))
    for name in ("by_label_noise", "by_num_train"):
        assert any(found.startswith(f"model_wise_{name}_{MLP}") for found in names)
    figure = names[f"model_wise_by_num_train_{OF_MLP}_label_noise0.2"].figure
    assert {"n = 1,000", "n = 4,000"} <= set(lines(figure.axes[0]))


def test_captions_say_which_training_error_it_is_and_on_what_data(write_widths):
    drawing = drawn(groups_of(*write_widths()))[f"model_wise_{OF_MLP}"]
    assert "in inference mode and not augmented" in drawing.caption
    assert "against the labels that are trained on" in drawing.caption
    assert "their height may not" in drawing.caption
    assert any("test labels are clean" in text for text in texts(drawing.figure))


def test_without_a_measured_training_error_nothing_is_drawn(write_widths, write_trial):
    folder = write_trial(test={1: 50}, fit={}, finished=False)
    assert "train.measure_fit" in not_drawn(groups_of(folder))["Double descent"]
    assert drawn(groups_of(folder)) == {}


def test_a_single_run_has_its_course_and_reasons_for_the_rest(write_trial):
    groups = groups_of(write_trial(test=dict.fromkeys(STEPS, 20), fit=dict.fromkeys(STEPS, 5)))
    assert set(drawn(groups)) == {f"epoch_wise_{OF_MLP}"}
    assert set(not_drawn(groups)) == {
        "Model-wise", "Heat map of widths and epochs", "Early stopping", "Ensembles", "Effective complexity",
    }  # fmt: skip


def test_unfinished_runs_are_counted_and_not_in_the_curve(write_widths, write_trial):
    folders = [*write_widths(), write_trial(test={1: 90}, fit={1: 90}, finished=False, **{"model.k": 16})]
    drawing = drawn(groups_of(*folders))[f"model_wise_{OF_MLP}"]
    assert points_of(drawing.figure.axes[0], "all runs") == [([1, 2, 4, 8], [40, 20, 30, 10])]
    assert "Not finished: 1 runs." in drawing.caption


def test_a_bump_of_a_hundredth_is_no_peak_in_the_key(write_widths):
    figure = drawn(groups_of(*write_widths(test={1: 40, 2: 30, 4: 30.01, 8: 10})))[f"model_wise_{OF_MLP}"].figure
    assert key_row(figure.axes[4], "all runs")[2] == "–"


# Over examples, weight decay, epochs


def test_sample_wise_marks_the_most_examples_that_are_fitted(write_widths):
    errors, fitted = {1000: 30, 2000: 35, 4000: 20}, {1000: 0, 2000: 8, 4000: 30}
    figure = drawn(groups_of(*write_widths(path="data.num_train", test=errors, fit=fitted)))[
        f"sample_wise_{OF_MLP}"
    ].figure
    assert points_of(figure.axes[0], "all runs") == [([1000, 2000, 4000], [30, 35, 20])]
    assert marks_of(figure.axes[0]) == [2000]
    assert key_row(figure.axes[5], "all runs")[0] == "2,000"


def test_a_weight_decay_of_zero_has_a_place_on_the_logarithmic_axis(write_widths):
    errors = {0.0: 30, 0.001: 25, 0.01: 20}
    figure = drawn(groups_of(*write_widths(path="optimizer.weight_decay", test=errors, fit=errors)))
    axes = figure[f"over_weight_decay_{OF_MLP}"].figure.axes[2]
    assert points_of(axes, "all runs")[0][0] == pytest.approx([0.0001, 0.001, 0.01])
    axes.figure.draw_without_rendering()
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "0.001", "0.01"]


def test_epoch_wise_counts_epochs_of_the_examples_that_are_used(write_widths):
    folders = write_widths(**{"data.num_train": 1000, "train.global_batch": 100})
    figure = drawn(groups_of(*folders))[f"epoch_wise_{OF_MLP}"].figure
    assert figure.axes[2].get_xlabel() == "epochs"
    assert points_of(figure.axes[0], "k = 4") == [([0.1, 1, 10], [60, 25, 30])]
    assert points_of(figure.axes[1], "k = 4") == [([0.1, 1, 10], [49, 19, 9])]
    assert marks_of(figure.axes[0]) == [10, 10]  # of k = 4 and k = 8


def test_a_wiggle_before_anything_is_learnt_is_no_peak_over_epochs(write_trial):
    courses = {1: {1: 88, 2: 78, 3: 86, 10: 5, 100: 2}, 2: {1: 88, 2: 78, 3: 90, 10: 20, 30: 50, 100: 10}}
    settings = {"data.num_train": 1, "train.global_batch": 1}
    folders = [write_trial(test=test, fit=test, **{"model.k": k}, **settings) for k, test in courses.items()]
    figure = drawn(groups_of(*folders))[f"epoch_wise_{OF_MLP}"].figure
    assert [key_row(figure.axes[4], f"k = {k}")[2] for k in courses] == ["–", "50.00 at 30"]


def test_the_running_average_of_training_batches_is_shown_nowhere(write_trial):
    folder = write_trial(test=dict.fromkeys(STEPS, 77), fit=dict.fromkeys(STEPS, 5))
    fit = drawn(groups_of(folder))[f"epoch_wise_{OF_MLP}"].figure.axes[1]
    assert points_of(fit, "all runs") == [([1, 10, 100], [5, 5, 5])]


def test_runs_with_different_lengths_of_an_epoch_are_drawn_over_steps(write_trial):
    folders = [
        write_trial(test=dict.fromkeys(STEPS, 20), fit=dict.fromkeys(STEPS, 5), **{"data.num_train": n})
        for n in (1000, 2000)
    ]
    axes = drawn(groups_of(*folders))[f"epoch_wise_{OF_MLP}"].figure.axes[2]
    assert axes.get_xlabel() == "steps"
    assert points_of(axes, "n = 1,000")[0][0] == [1, 10, 100]


# Heat maps


def test_a_heat_map_has_a_cell_for_each_width_and_epoch_and_the_threshold_on_both_sides(write_widths):
    figure = drawn(groups_of(*write_widths()))[f"map_width_epochs_{OF_MLP}"].figure
    test, fit = figure.axes[:2]
    for axes, last in ((test, [40, 20, 30, 10]), (fit, [45, 25, 9, 0.5])):
        cells, outline, contour = axes.collections
        np.testing.assert_allclose(cells.get_array()[-1], last)
        assert cells.get_array().shape == (3, 4)
        assert len(contour.get_paths()[0].vertices) > 0


def test_a_heat_map_over_examples_is_drawn_where_both_vary(write_widths):
    folders = sum((write_widths(**{"data.num_train": n}) for n in (1000, 2000, 4000)), [])
    axes = drawn(groups_of(*folders))[f"map_width_examples_{OF_MLP}"].figure.axes[0]
    assert axes.get_ylabel() == "training examples n"
    assert axes.collections[0].get_array().shape == (3, 4)


def test_cells_without_a_run_are_blank_and_edges_lie_halfway():
    across, upward, errors = maps.grid({(1, 10): 5.0, (4, 100): 7.0})
    assert (across.tolist(), upward.tolist()) == ([1, 4], [10, 100])
    np.testing.assert_array_equal(errors, [[5, np.nan], [np.nan, 7]])
    np.testing.assert_allclose(maps.edges([1, 4]), [0.5, 2, 8])


# Choosing


def test_an_oracle_stops_each_run_where_its_test_error_is_lowest(write_trial):
    folders = [
        write_trial(test={1: 80, 10: best, 100: 40}, fit={1: 80, 10: 30, 100: 5}, **{"model.k": k})
        for k, best in ((1, 35), (2, 20), (4, 50))
    ]
    drawing = drawn(groups_of(*folders))[f"early_stopping_{OF_MLP}"]
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
    figure = drawn(groups_of(*folders))[f"ensemble_{OF_MLP}"].figure
    assert points_of(figure.axes[0], "all runs") == [([1, 2], [60, 60]), ([1, 2], [50, 50])]


def test_without_the_labels_of_the_test_no_vote_is_drawn(write_trial):
    folders = [
        write_trial(test={1: 50}, fit={1: 5}, seed=seed, classes=np.zeros(4, int), **{"model.k": k})
        for k in (1, 2)
        for seed in (0, 1)
    ]
    assert "`labels`" in not_drawn(groups_of(*folders))["Ensembles"]


# Random features, translation


def test_least_squares_is_drawn_with_its_squared_error_and_marked_where_features_equal_examples(write_trial):
    folders = [
        write_trial(
            test={1: error}, fit={1: max(0, 12 - features / 50)}, metrics={"squared_error": error / 10},
            **{"model.num_features": features, "data.num_train": 500},
        )
        for features, error in ((50, 40), (500, 90), (5000, 10))
    ]  # fmt: skip
    groups = groups_of(*folders)
    drawing = drawn(groups)[f"model_wise_{OF_MLP}"]
    test, _, squared, _ = drawing.figure.axes[:4]
    assert marks_of(test, "D = n") == [500]
    assert marks_of(test) == []
    assert squared.get_ylabel() == "squared error"
    assert points_of(squared, "all runs") == [([50, 500, 5000], [4, 9, 1])]
    assert "D = n" in drawing.caption
    assert not_drawn(groups)["Epoch-wise"] == "least squares has no epochs"


def test_a_translation_has_its_loss_per_token_and_bleu(write_trial):
    folders = [
        write_trial(
            experiment="sha_rnn_enwik8", test={1: 50}, fit={1: 40}, metrics={"nll": loss, "bleu": 30 - loss},
            **{"model.d_model": width, "train.measure_fit": True},
        )
        for width, loss in ((8, 3), (16, 5), (32, 2))
    ]  # fmt: skip
    for folder in folders:
        results = json.loads((folder / "results.json").read_text())
        for part in ("metrics", "fit"):
            del results[part]["top1"]
        del results["fit"]["bleu"]
        (folder / "results.json").write_text(json.dumps(results))
    (drawing,) = [d for name, d in drawn(groups_of(*folders)).items() if name.startswith("model_wise")]
    loss, _, bleu, no_bleu = drawing.figure.axes[:4]
    assert points_of(loss, "all runs") == [([8, 16, 32], [3, 5, 2])]
    assert points_of(bleu, "all runs") == [([8, 16, 32], [27, 25, 28])]
    assert [text.get_text() for text in no_bleu.texts] == ["not measured"]


# Effective complexity


def test_test_error_stands_over_complexity_with_its_bracket(write_widths):
    folders = write_widths(**{"data.num_train": 4000})
    entries = [
        {"point": {"model.k": 1}, "error": "zero_one", "eps": 0.1, "low": None, "high": 250, "censored": False},
        {"point": {"model.k": 2}, "error": "zero_one", "eps": 0.1, "low": 900, "high": 1600, "censored": False},
        {"point": {"model.k": 4}, "error": "zero_one", "eps": 0.1, "low": 4000, "high": None, "censored": True},
    ]
    (folders[0].parent / "emc.json").write_text(json.dumps({"points": entries}))
    test, fit = drawn(groups_of(*folders))[f"complexity_zero_one_0.1_{OF_MLP}"].figure.axes[:2]
    assert points_of(test, "all runs") == [([250 / 4000, 1200 / 4000, 1], [40, 20, 30])]
    assert points_of(fit, "all runs")[0][1] == [45, 25, 9]
    bars = [segment[:, 0].tolist() for c in test.collections for segment in c.get_segments() if np.ptp(segment[:, 0])]
    assert bars == [[900 / 4000, 1600 / 4000]]


def test_a_damaged_file_of_complexities_counts_as_none(write_widths):
    folders = write_widths()
    (folders[0].parent / "emc.json").write_text('{"points": [{"point": 1}]}')
    assert "emc.json" in not_drawn(groups_of(*folders))["Effective complexity"]


# The whole report


def test_a_sweeps_folder_is_reported_in_itself(write_widths, capsys):
    sweep = write_widths(seeds=(0, 1))[0].parent
    (sweep / "sweep.json").write_text("{}")
    report.report(types.SimpleNamespace(runs=None, model_dir=str(sweep), quiet=True))
    written = {path.name for path in (sweep / "report").iterdir()}
    assert {f"model_wise_{OF_MLP}.svg", f"early_stopping_{OF_MLP}.png", "index.html", "tables.json"} <= written
    assert str(sweep / "report" / "index.html") in capsys.readouterr().out
    assert not any(name.startswith("training_") for name in written)


def test_papers_draw_and_tabulate_them(write_widths):
    groups = groups_of(*write_widths())
    assert f"model_wise_{OF_MLP}" in {d.name for d in papers.draw(groups) if isinstance(d, Drawing)}
    assert [table.name for table in papers.tabulate(groups)] == [f"trials_{OF_MLP}", f"verdict_{OF_MLP}", "experiments"]


def test_nothing_of_a_figure_overlaps_or_leaves_it(write_widths):
    folders = []
    for noise in (0.0, 0.2):
        folders += write_widths(seeds=(0, 1), **{"data.label_noise": noise, "data.num_train": 4000})
    for drawing in drawn(groups_of(*folders)).values():
        drawing.figure.draw_without_rendering()
        shown = [text for axes in drawing.figure.axes for text in axes.texts] + drawing.figure.texts
        boxes = [text.get_window_extent() for text in shown if text.get_text()]
        for number, box in enumerate(boxes):
            assert box.x0 >= 0 and box.x1 <= drawing.figure.bbox.x1, shown[number].get_text()
            overlapped = [shown[n].get_text() for n, other in enumerate(boxes[:number]) if box.overlaps(other)]
            assert not overlapped, f"{drawing.name}: {shown[number].get_text()} on {overlapped}"


def test_trials_know_what_was_measured(write_widths):
    (trials,) = trials_of(groups_of(*write_widths()))
    assert isinstance(trials, Trials)
    assert {"top1", "top1_clean", "loss"} <= trials.measured("fit")
    assert trials.logged("nothing") == set()


# Procedures side by side


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
    figures = {name: drawing for name, drawing in drawn(groups_of(*write_figure_6())).items() if "figure6" in name}
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
    (drawing,) = [drawing for name, drawing in drawn(groups).items() if name.startswith("figure16_")]
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
    assert not any("figure6" in name for name in drawn(groups))
    assert not_drawn(groups)["Figure 6"] == "its experiments have no data or network in common"


@pytest.mark.parametrize("figure", COMPARED)
def test_the_experiments_that_a_figure_compares_say_that_they_are_of_it(figure):
    number = figure.removeprefix("Figure ")
    assert all(number in catalog.get(name).paper.row.replace(",", "").split() for name in COMPARED[figure])

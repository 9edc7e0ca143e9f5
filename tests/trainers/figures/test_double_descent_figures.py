"""Figures of double descent over the width, from trials with made-up numbers, against those numbers."""

import json
import types

import pytest

from tests.trainers.figures.drawings import (
    assert_no_overlap,
    bands_of,
    descents,
    groups_of,
    key_row,
    lines,
    marks_of,
    missing_descents,
    points_of,
    texts,
)
from tests.trainers.figures.made_up_trials import MLP, OF_MLP, STEPS
from trainers.figures import papers
from trainers.figures.double_descent import tables
from trainers.figures.style import Drawing
from trainers.modes import report


def test_other_papers_runs_are_left_alone(write_trial):
    groups = groups_of(write_trial(experiment="resnet20_cifar10", test={1: 50}, fit={1: 50}))
    assert descents(groups) == missing_descents(groups) == {}
    assert list(tables.tabulate(groups)) == []


def test_model_wise_has_test_left_and_training_right_and_the_loss_below(write_widths):
    figure = descents(groups_of(*write_widths()))[f"model_wise_{OF_MLP}"].figure
    test, fit, test_loss, fit_loss = figure.axes[:4]
    assert points_of(test, "all runs") == [([1, 2, 4, 8], [40, 20, 30, 10])]
    assert points_of(fit, "all runs") == [([1, 2, 4, 8], [45, 25, 9, 0.5])]
    assert points_of(test_loss, "all runs") == [([1, 2, 4, 8], [2.01, 1.01, 1.51, 0.51])]
    assert points_of(fit_loss, "all runs") == [([1, 2, 4, 8], [2.26, 1.26, 0.46, 0.035])]
    assert test.get_ylim() == fit.get_ylim()
    assert test.get_xscale() == "log"


def test_thresholds_stand_where_the_training_error_is_10_and_1_percent(write_widths):
    figure = descents(groups_of(*write_widths()))[f"model_wise_{OF_MLP}"].figure
    for axes in figure.axes[:4]:
        assert marks_of(axes, "10 %") == [4]
        assert marks_of(axes, "1 %") == [8]
    assert key_row(figure.axes[5], "all runs") == ["4", "8", "0.50"]


def test_the_key_names_the_lowest_error_the_peak_and_the_last(write_widths):
    figure = descents(groups_of(*write_widths()))[f"model_wise_{OF_MLP}"].figure
    assert key_row(figure.axes[4], "all runs") == ["1", "10.00 at 8", "30.00 at 4", "10.00"]


def test_parameters_stand_above_the_widths(write_widths):
    test = descents(groups_of(*write_widths()))[f"model_wise_{OF_MLP}"].figure.axes[0]
    (above,) = test.child_axes
    assert above.get_xticks().tolist() == [1, 2, 4, 8]
    assert [text.get_text() for text in above.get_xticklabels()] == ["805", "1.6k", "3.19k", "6.37k"]


def test_seeds_are_a_band_from_the_smallest_to_the_largest_around_their_mean(write_widths):
    drawing = descents(groups_of(*write_widths(seeds=(0, 1, 4))))[f"model_wise_{OF_MLP}"]
    test = drawing.figure.axes[0]
    assert points_of(test, "all runs") == [([1, 2, 4, 8], [40 + 5 / 3, 20 + 5 / 3, 30 + 5 / 3, 10 + 5 / 3])]
    (band,) = bands_of(test)
    assert {x: pytest.approx(ends) for x, ends in band.items()} == {1: (40, 44), 2: (20, 24), 4: (30, 34), 8: (10, 14)}
    assert test.get_ylim()[1] > 44
    assert "bands span the smallest to the largest" in drawing.caption


def test_every_level_of_noise_has_a_line_and_a_threshold_of_its_own(write_widths):
    clean = write_widths(**{"data.label_noise": 0.0}, fit={1: 9, 2: 0, 4: 0, 8: 0})
    noisy = write_widths(**{"data.label_noise": 0.2})
    test = descents(groups_of(*clean, *noisy))[f"model_wise_{OF_MLP}"].figure.axes[0]
    assert points_of(test, "0% label noise") and points_of(test, "20% label noise")
    assert marks_of(test) == [1, 4]
    colors = [lines(test)[f"{noise}% label noise"].get_color() for noise in (0, 20)]
    assert colors[0] != colors[1]


def test_of_three_things_that_vary_each_is_drawn_as_lines(write_widths):
    folders = []
    for noise in (0.0, 0.2):
        for examples in (1000, 4000):
            folders += write_widths(**{"data.label_noise": noise, "data.num_train": examples})
    names = descents(groups_of(*folders))
    for name in ("by_label_noise", "by_num_train"):
        assert any(found.startswith(f"model_wise_{name}_{MLP}") for found in names)
    figure = names[f"model_wise_by_num_train_{OF_MLP}_label_noise0.2"].figure
    assert {"n = 1,000", "n = 4,000"} <= set(lines(figure.axes[0]))


def test_captions_say_which_training_error_it_is_and_on_what_data(write_widths):
    drawing = descents(groups_of(*write_widths()))[f"model_wise_{OF_MLP}"]
    assert "in inference mode and not augmented" in drawing.caption
    assert "against the labels trained on" in drawing.caption
    assert "not their height" in drawing.caption
    assert any("test labels are clean" in text for text in texts(drawing.figure))


def test_without_a_measured_training_error_nothing_is_drawn(write_widths, write_trial):
    folder = write_trial(test={1: 50}, fit={}, finished=False)
    assert "train.measure_fit" in missing_descents(groups_of(folder))["Double descent"]
    assert descents(groups_of(folder)) == {}


def test_a_single_run_has_its_course_and_reasons_for_the_rest(write_trial):
    groups = groups_of(write_trial(test=dict.fromkeys(STEPS, 20), fit=dict.fromkeys(STEPS, 5)))
    assert set(descents(groups)) == {f"epoch_wise_{OF_MLP}"}
    assert set(missing_descents(groups)) == {
        "Model-wise", "Heat map of widths and epochs", "Early stopping", "Ensembles", "Effective complexity",
    }  # fmt: skip


def test_unfinished_runs_are_counted_and_not_in_the_curve(write_widths, write_trial):
    folders = [*write_widths(), write_trial(test={1: 90}, fit={1: 90}, finished=False, **{"model.k": 16})]
    drawing = descents(groups_of(*folders))[f"model_wise_{OF_MLP}"]
    assert points_of(drawing.figure.axes[0], "all runs") == [([1, 2, 4, 8], [40, 20, 30, 10])]
    assert "Not finished: 1 runs." in drawing.caption


def test_a_bump_of_a_hundredth_is_no_peak_in_the_key(write_widths):
    figure = descents(groups_of(*write_widths(test={1: 40, 2: 30, 4: 30.01, 8: 10})))[f"model_wise_{OF_MLP}"].figure
    assert key_row(figure.axes[4], "all runs")[2] == "–"


def test_least_squares_is_drawn_with_its_squared_error_and_marked_where_features_equal_examples(write_trial):
    folders = [
        write_trial(
            experiment="dd_random_features_mnist", test={1: error}, fit={1: max(0, 12 - features / 50)},
            metrics={"squared_error": error / 10}, **{"model.num_features": features, "data.num_train": 500},
        )
        for features, error in ((50, 40), (500, 90), (5000, 10))
    ]  # fmt: skip
    groups = groups_of(*folders)
    drawing = descents(groups)["model_wise_dd_random_features_mnist_digits_sample"]
    test, _, squared, _ = drawing.figure.axes[:4]
    assert marks_of(test, "D = n") == [500]
    assert marks_of(test) == []
    assert squared.get_ylabel() == "squared error"
    assert points_of(squared, "all runs") == [([50, 500, 5000], [4, 9, 1])]
    assert "D = n" in drawing.caption
    assert missing_descents(groups)["Epoch-wise"] == "least squares has no epochs"


def test_a_translation_has_its_loss_per_token_and_bleu(write_trial):
    folders = [
        write_trial(
            experiment="dd_transformer_iwslt14", test={1: 50}, fit={1: 40},
            metrics={"nll": loss, "bleu": 30 - loss}, **{"model.d_model": width},
        )
        for width, loss in ((8, 3), (16, 5), (32, 2))
    ]  # fmt: skip
    for folder in folders:
        results = json.loads((folder / "results.json").read_text())
        for part in ("metrics", "fit"):
            del results[part]["top1"]
        del results["fit"]["bleu"]
        (folder / "results.json").write_text(json.dumps(results))
    (drawing,) = [d for name, d in descents(groups_of(*folders)).items() if name.startswith("model_wise")]
    loss, _, bleu, no_bleu = drawing.figure.axes[:4]
    assert points_of(loss, "all runs") == [([8, 16, 32], [3, 5, 2])]
    assert points_of(bleu, "all runs") == [([8, 16, 32], [27, 25, 28])]
    assert [text.get_text() for text in no_bleu.texts] == ["not measured"]
    assert_no_overlap(drawing)


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
    for drawing in descents(groups_of(*folders)).values():
        assert_no_overlap(drawing)

"""Figures and tables from run folders with made-up numbers, against those numbers and the paper's."""

import io
import json
import pathlib
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from flags import catalog, overrides
from flags.errors import UserError
from tests.trainers.figures.drawings import drawn, groups_of, lines, texts
from trainers.figures import papers, reading, records, style, tables
from trainers.figures.records import Data, Estimate
from trainers.figures.resnet import figures as resnet
from trainers.figures.style import NotDrawn

ROOT = pathlib.Path(__file__).parents[3]
DRAW_ALL = """
import sys
from trainers.figures import page, papers, reading, records
groups = records.group([reading.read(folder) for folder in reading.find(sys.argv[1:])])
print(len(papers.draw(groups)), len(papers.tabulate(groups)))
print(*({"tensorflow", "keras", "matplotlib.pyplot"} & set(sys.modules)))
"""


@pytest.fixture
def write_run(tmp_path):
    """Writes a run's folder in the true format and returns its path.

    `train` and `test` are errors in % by step; an unfinished run has no results, and `responses` are those that an
    earlier report measured.
    """

    def write(
        experiment="plain20_cifar10", *, data="paper", seed=0, train=None, test=None, finished=True, changes=(),
        responses=None, moving=None, name=None,
    ):  # fmt: skip
        folder = tmp_path / (name or f"{experiment}_{data}_{seed}_{len(changes)}")
        folder.mkdir()
        recipe = catalog.variant(catalog.get(experiment), data)
        recipe = overrides.apply(recipe, overrides.parse(changes, recipe).items())
        config = {
            "experiment": experiment, "data": data, "overrides": list(changes), "seed": seed, "precision": "float32",
            "init_from": None, "recipe": overrides.flatten(recipe),
        }  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config))
        rows = [
            {"step": step, "split": split, "loss": error / 20, "top1": 1 - error / 100, "top5": 0.99, "lr": 0.1}
            for split, errors in (("train", train or {100: 40, 200: 20}), ("eval", test or {100: 50, 200: 15}))
            for step, error in errors.items()
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if finished:
            top1 = 1 - list((test or {200: 15}).values())[-1] / 100
            results = {
                "experiment": experiment, "data": data, "parameters": 269722, "multiply_adds": 40551040,
                "metrics": {"loss": 0.5, "top1": top1, "top5": 0.99, "examples": 1000}, "steps": 200, "seconds": 7200,
            }  # fmt: skip
            if moving is not None:
                results["metrics_with_moving_statistics"] = {"loss": 0.6, "top1": 1 - moving / 100, "top5": 0.98}
            (folder / "results.json").write_text(json.dumps(results))
        if responses:
            (folder / "model.keras").write_text("weights")
            (folder / "report").mkdir()
            kept = {"model": reading.model_stamp(folder / "model.keras"), "std": responses}
            (folder / "report" / "layer_responses.json").write_text(json.dumps(kept))
        return folder

    return write


def not_drawn(*folders):
    return {d.title: d.reason for d in papers.draw(groups_of(*folders)) if isinstance(d, NotDrawn)}


def row_of(figure, name):
    """The cells of a key's row: the texts at the height of a name."""
    for axes in figure.axes:
        for text in axes.texts:
            if text.get_text() == name:
                y = text.get_position()[1]
                return [other.get_text() for other in axes.texts if other.get_position()[1] == y][1:]
    raise AssertionError(f"{name} is in no key")


def tabulated(*folders):
    return {table.name: table for table in papers.tabulate(groups_of(*folders))}


def cells_of(table, first):
    """A row by its first cell, as text by column."""
    row = next(row for row in table.rows if row[0] == first)
    return dict(zip(table.columns, map(tables.written, row)))


# Figures 1, 4 and 6


def test_figure_1_has_training_errors_left_and_test_errors_right(write_run):
    folder = write_run(train={100: 40, 200: 4}, test={100: 50, 200: 12})
    left, right = drawn(folder)["figure1_cifar10"].figure.axes[:2]
    for axes, name, errors in ((left, "plain-20, train", [40, 4]), (right, "plain-20, eval", [50, 12])):
        line = lines(axes)[name]
        assert list(line.get_xdata()) == [100, 200]
        np.testing.assert_allclose(line.get_ydata(), errors)


def test_figure_1_is_olive_and_red(write_run):
    axes = drawn(write_run(), write_run("plain56_cifar10"))["figure1_cifar10"].figure.axes[0]
    assert [line.get_color() for line in axes.get_lines()] == [resnet.COLORS[20], resnet.COLORS[56]]


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
    assert "plain-20" in not_drawn(write_run("resnet20_cifar10"))["Figure 1: plain networks on CIFAR-10"]


def test_reports_on_other_papers_do_not_miss_figures_of_resnet(write_run):
    assert not not_drawn(write_run("effnet_b0"))


# Seeds, recipes and data sets


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


def test_a_mean_of_right_answers_that_float32_put_above_1_is_no_error_at_all():
    assert records.error_percent(1 + 1e-7) == 0 and str(records.error_percent(1 + 1e-7)) == "0.0"


def test_a_run_that_repeats_another_is_left_out(write_run):
    whole, part = write_run(name="b_whole"), write_run(name="a_part", finished=False)
    kept, lines_of_rest = records.without_repetitions([reading.read(part), reading.read(whole)])
    assert [record.folder for record in kept] == [whole]
    assert str(part) in lines_of_rest[0]


def test_an_unfinished_run_is_drawn_and_named_but_not_measured(write_run):
    folder = write_run(finished=False, test={100: 30})
    figure = drawn(folder)["figure1_cifar10"].figure
    assert len(figure.axes[1].get_lines()) == 1
    assert row_of(figure, "plain-20") == ["0", "unfinished", "≈ 1.4"]
    assert cells_of(tabulated(folder)["table6_cifar10"], "plain-20")["error: measured on cifar10"] == "–"


def test_a_long_curve_is_averaged_between_evaluations(write_run):
    train = {step: step / 1000 for step in range(100, 20_001, 100)}
    curve = groups_of(write_run(train=train))[0].curve("train", "top1", records.error_percent)
    assert list(curve.steps[:2]) == [1000, 2000]
    np.testing.assert_allclose(curve.mean[:2], [0.55, 1.55])
    assert len(curve.steps) == 20


# Figure 7


def test_figure_7_has_layers_in_order_above_and_sorted_below(write_run):
    responses = {f"layer{number}": value for number, value in enumerate((1.0, 3.0, 2.0))}
    figure = drawn(write_run(responses=responses))["figure7_cifar10"].figure
    for axes, values in zip(figure.axes, ([1, 3, 2], [3, 2, 1])):
        (line,) = axes.get_lines()
        assert list(line.get_xdata()) == [1, 2, 3]
        assert list(line.get_ydata()) == values
        assert line.get_linestyle() == "--"
    assert row_of(figure, "plain-20") == ["1", "3.00", "≈ 2.3", "1.00", "≈ 1.3"]


def test_responses_of_an_older_model_are_not_used(write_run):
    folder = write_run(responses={"layer": 1.0})
    (folder / "model.keras").write_text("other weights")
    assert reading.read(folder).layer_responses is None
    assert "Figure 7: layer responses on CIFAR-10" in not_drawn(folder)


# Any experiment


def test_a_single_run_is_drawn_with_loss_error_and_learning_rate(write_run):
    folder = write_run("effnet_b0", train={100: 60, 200: 40}, test={200: 30})
    drawing = drawn(folder)["training_effnet_b0_imagenet2012"]
    loss, error, rate = drawing.figure.axes[:3]
    np.testing.assert_allclose(lines(loss)["training"].get_ydata(), [3, 2])
    np.testing.assert_allclose(lines(error)["evaluation"].get_ydata(), [30])
    np.testing.assert_allclose(lines(rate)["training"].get_ydata(), [0.1, 0.1])
    assert row_of(drawing.figure, "evaluation") == ["1", "30.00", "22.90"]


def test_the_figure_of_a_run_on_the_sample_says_whose_numbers_are_on_what(write_run):
    drawing = drawn(write_run("effnet_b0", data="sample"))["training_effnet_b0_digits_sample"]
    assert drawing.title == "effnet_b0 on the embedded digits, not ImageNet"
    assert "ours: the embedded digits; paper: ImageNet" in texts(drawing.figure)


def test_experiments_in_no_figure_of_a_paper_get_one_of_their_own(write_run):
    names = drawn(write_run("plain20_cifar10"), write_run("resnet50"))
    assert "training_resnet50_imagenet2012" in names
    assert "training_plain20_cifar10_cifar10" not in names


# Tables


def test_table_6_has_every_network_with_the_papers_number_and_ours(write_run):
    folders = [write_run("resnet110_cifar10", seed=seed, test={200: 6 + seed}) for seed in (0, 1)]
    table = tabulated(*folders)["table6_cifar10"]
    assert len(table.rows) == 11
    cells = cells_of(table, "ResNet-110")
    assert cells["error: paper (CIFAR-10)"] == "6.43 (6.61 ± 0.16)"
    assert cells["error: measured on cifar10"] == "6.00 (6.50 ± 0.71)"
    assert cells["seeds"] == "2"
    assert cells_of(table, "plain-56")["error: paper (CIFAR-10)"] == "≈ 13.3"


def test_table_2_has_the_papers_layout(write_run):
    table = tabulated(write_run("plain18", test={200: 28}), write_run("resnet34", test={200: 25}))[
        "table2_imagenet2012"
    ]
    assert [[tables.written(cell) for cell in row] for row in table.rows] == [
        ["18 layers", "269,722", "1.8 G", "40,551,040", "27.94", "28.00", "27.88", "–"],
        ["34 layers", "269,722", "3.6 G", "40,551,040", "28.54", "–", "25.03", "25.00"],
    ]


def test_table_3_has_top_5_errors_too(write_run):
    cells = cells_of(tabulated(write_run("resnet50", test={200: 23}))["table3_imagenet2012"], "ResNet-50")
    assert list(cells.values())[1:] == ["269,722", "3.8 G", "40,551,040", "22.85", "23.00", "6.71", "1.00"]


def test_tables_say_that_a_sample_cannot_be_compared(write_run):
    found = tabulated(write_run("resnet20_cifar10", data="sample"))
    assert "not comparable" in found["table6_digits_sample"].caption
    assert cells_of(found["experiments"], "resnet20_cifar10")["data"] == "the embedded digits *"
    assert found["experiments"].columns[4] == "top-1 error, %: paper"


def test_both_kinds_of_batch_norm_statistics_are_shown(write_run):
    table = tabulated(write_run("resnet20_cifar10", test={200: 9}, moving=11))["table6_cifar10"]
    cells = cells_of(table, "ResNet-20")
    assert cells["error: measured on cifar10"] == "9.00"
    assert cells["error: measured on cifar10, moving statistics"] == "11.00"


def test_every_experiment_has_a_row_with_its_last_training_error_and_changes(write_run):
    folder = write_run("effnet_b0", train={100: 60, 200: 40}, test={200: 30}, changes=("train.steps=200",))
    cells = cells_of(tabulated(folder)["experiments"], "effnet_b0")
    assert cells["top-1 error, %: paper"] == "22.90"
    assert cells["top-1 error, %: ours"] == "30.00"
    assert cells["training error at the end, %"] == "40.00"
    assert cells["changed"] == "train.steps=200"
    assert cells["hours a run"] == "2.00"


def test_a_standard_deviation_takes_two_values():
    assert Estimate((3.0,)).std is None
    assert Estimate((1.0, 3.0)).std == pytest.approx(2**0.5)


def test_a_table_as_json_keeps_every_value(write_run):
    folders = [write_run("resnet20_cifar10", seed=seed, test={200: 8 + seed}) for seed in (0, 1)]
    written = json.loads(json.dumps(tables.as_json(tabulated(*folders)["table6_cifar10"])))
    row = next(row for row in written["rows"] if row["network"] == "ResNet-20")
    assert row["error: measured on cifar10"]["values"] == pytest.approx([8, 9])
    assert row["error: measured on cifar10"]["n"] == 2


# Reading


def test_a_pattern_that_matches_no_run_is_named(write_run, tmp_path):
    write_run()
    (tmp_path / "empty").mkdir()
    for pattern in (f"{tmp_path}/nothing*", f"{tmp_path}/empty"):
        with pytest.raises(UserError, match="Quote the pattern") as raised:
            reading.find([f"{tmp_path}/*", pattern])
        assert f"--runs={pattern}:" in str(raised.value)


def test_folders_without_a_run_are_passed_over_and_runs_found_twice_count_once(write_run, tmp_path):
    folder = write_run()
    (tmp_path / "empty").mkdir()
    assert reading.find([f"{tmp_path}/*", f"{tmp_path}/plain*"]) == [folder]


@pytest.mark.parametrize("content", ['{"experiment": "plain20_cifar10"', "[]", '{"recipe": {"data.name": "cifar10"}}'])
def test_a_damaged_config_is_named(write_run, content):
    folder = write_run()
    (folder / "config.json").write_text(content)
    with pytest.raises(UserError, match=str(folder / "config.json")):
        reading.read(folder)


def test_an_experiment_of_another_version_is_named(write_run):
    folder = write_run()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"experiment": "resnet9_cifar10"}))
    with pytest.raises(UserError, match="resnet9_cifar10 is not one of this version"):
        reading.read(folder)


def test_damaged_results_are_named_and_the_curves_stay(write_run):
    folder = write_run()
    (folder / "results.json").write_text('{"metrics": {"top1": "high"}}')
    record = reading.read(folder)
    assert str(folder / "results.json") in record.damage
    assert not record.is_finished
    assert record.points("eval", "top1")


def test_lines_that_are_cut_or_not_finite_are_passed_over(write_run):
    folder = write_run(train={100: 40})
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 200, "split": "train", "top1": NaN, "loss": 1.5}\n{"step": 300, "spl')
    record = reading.read(folder)
    assert record.points("train", "top1") == pytest.approx({100: 0.6})
    assert record.points("train", "loss")[200] == 1.5


def test_data_is_named_in_files_by_what_it_is():
    assert Data("cifar10", "paper").slug == "cifar10"
    assert Data("digits", "sample").slug == "digits_sample"
    assert Data("synthetic_cifar10", "synthetic").slug == "synthetic_cifar10"


# Files


def test_a_figure_is_a_picture_of_200_dots_an_inch(write_run):
    figure = drawn(write_run())["figure1_cifar10"].figure
    picture = np.asarray(PIL.Image.open(io.BytesIO(style.as_png(figure))).convert("L"))
    assert picture.shape == tuple(round(200 * inches) for inches in reversed(figure.get_size_inches()))
    assert picture.std() > 10


def test_the_same_figure_gives_the_same_files(write_run):
    folder = write_run()
    first, second = (drawn(folder)["figure6_cifar10"].figure for _ in range(2))
    assert style.as_svg(first) == style.as_svg(second)
    assert style.as_png(first) == style.as_png(second)
    assert style.as_svg(first).startswith(b"<?xml")


@pytest.mark.parametrize("with_1202", [(), ("resnet1202",)], ids=["two panels", "three panels"])
def test_nothing_of_a_figure_overlaps_or_leaves_it(write_run, with_1202):
    nets = ("plain20", "plain56", "resnet20", "resnet110", *with_1202)
    folders = [write_run(f"{net}_cifar10", seed=seed, test={64_000: 12.5 + seed}) for net in nets for seed in (0, 1)]
    folders.append(write_run("resnet110_cifar10", changes=("schedule.lr=0.2",)))
    for drawing in drawn(*folders).values():
        drawing.figure.draw_without_rendering()
        shown = [text for axes in drawing.figure.axes for text in axes.texts] + drawing.figure.texts
        boxes = [text.get_window_extent() for text in shown]
        for number, box in enumerate(boxes):
            assert box.x0 >= 0 and box.x1 <= drawing.figure.bbox.x1, shown[number].get_text()
            overlapped = [shown[n].get_text() for n, other in enumerate(boxes[:number]) if box.overlaps(other)]
            assert not overlapped, f"{drawing.name}: {shown[number].get_text()} on {overlapped}"


def test_drawing_leaves_matplotlibs_settings_alone(write_run):
    import matplotlib

    before = dict(matplotlib.rcParams)
    style.as_svg(drawn(write_run())["figure1_cifar10"].figure)
    assert dict(matplotlib.rcParams) == before


def test_drawing_loads_neither_tensorflow_nor_pyplot(write_run):
    folder = write_run(responses={"layer": 1.0})
    done = subprocess.run(
        [sys.executable, "-c", DRAW_ALL, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["4", "2"]

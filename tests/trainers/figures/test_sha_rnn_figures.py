"""Figures and tables of language models from run folders with made-up numbers, and once from a real model."""

import html
import json
import math

import keras
import numpy as np
import pytest

from flags import catalog, overrides
from flags.run import parse
from tests.trainers.figures.drawings import drawn, groups_of, lines, texts
from trainers.figures import papers, reading, style, tables
from trainers.figures.sha_rnn import figures as sha_rnn
from trainers.figures.sha_rnn.tables import PAPER_ROWS
from trainers.figures.style import NotDrawn
from trainers.main import main
from trainers.session import open_session

COMPRESSORS = {
    "alone": {"gzip -9": 2.9, "bzip2 -9": 2.4, "xz -9e": 2.5},
    "after the training part": {"gzip -9": 2.8, "bzip2 -9": 2.3, "xz -9e": 2.1},
}
ATTENTION = {
    "unit": "byte", "passage": list("the↵$cat"), "begin": 512, "memory": 500, "edges": [0, 1, 2, 4, 500],
    "layers": [
        {
            "layer": layer, "weights": [[0.1 * layer, 0.0, 0.2, 0.01 * row] for row in range(8)], "share": 0.25,
            "looks": [{"back": 300, "weight": 0.1234, "read": "the United‖ States", "there": "The United‖ Kingdom"}],
        }
        for layer in (1, 2)
    ],
}  # fmt: skip


@pytest.fixture
def write_run(tmp_path):
    """Writes a run's folder in the true format and returns its path.

    `train` and `valid` are losses in nats by step; of a step are 1,000,000 bytes or words, and `pace` seconds.
    """

    def write(
        experiment="sha_rnn_enwik8", *, data="paper", seed=0, train=None, valid=None, test=1.08, finished=True,
        changes=(), pace=1.0, old=False, metric="bpc", compressors=None, attention=None, selected=20, parameters=1000,
    ):  # fmt: skip
        folder = tmp_path / f"{experiment}_{data}_{seed}_{len(changes)}"
        folder.mkdir()
        recipe = catalog.variant(catalog.get(experiment), data)
        recipe = overrides.apply(recipe, overrides.parse(changes, recipe).items())
        config = {
            "experiment": experiment, "data": data, "overrides": list(changes), "seed": seed, "precision": "float32",
            "init_from": None, "recipe": overrides.flatten(recipe),
        }  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config))
        of_loss = sha_rnn.OF_LOSS[metric][0]
        rows = [
            {"step": step, "split": split, "loss": loss, metric: float(of_loss(loss)), "lr": 0.002}
            | ({} if old else {"seconds": pace * step, sha_rnn.UNITS[metric]: 1_000_000 * step})
            for split, losses in (("train", train or {10: 2, 20: 1}), ("eval", valid or {10: 1.5, 20: 0.8}))
            for step, loss in losses.items()
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if finished:
            metrics = {"loss": 1.0, metric: test, f"{metric}_author": test - 0.0001, "lanes": 8}
            results = {"metrics": metrics, "selected_step": selected, "parameters": parameters, "seconds": 7200}
            results |= {"compressors": compressors} if compressors else {}
            (folder / "results.json").write_text(json.dumps(results))
        if attention:
            (folder / "model.keras").write_text("weights")
            (folder / "report").mkdir()
            kept = {"model": reading.model_stamp(folder / "model.keras"), "weights": attention}
            (folder / "report" / "attention_weights.json").write_text(json.dumps(kept))
        return folder

    return write


def not_drawn(*folders):
    return [(d.title, d.reason) for d in papers.draw(groups_of(*folders)) if isinstance(d, NotDrawn)]


def row_of(axes, name):
    """The cells of a key's row: the texts at the height of a name."""
    y = next(text.get_position()[1] for text in axes.texts if text.get_text() == name)
    return [text.get_text() for text in axes.texts if text.get_position()[1] == y][1:]


def tabulated(*folders):
    return {table.name: table for table in papers.tabulate(groups_of(*folders))}


def cells_of(table, first):
    """A row by its first cell, as text by column."""
    row = next(row for row in table.texts if row[0] == first)
    return dict(zip(table.columns, row))


# Learning curves


def test_bits_per_character_stand_over_bytes_and_over_time(write_run):
    figure = drawn(write_run(pace=400))["learning_enwik8"].figure
    over_bytes, over_time = (lines(axes) for axes in figure.axes[:2])
    for split, losses in (("train", [2, 1]), ("eval", [1.5, 0.8])):
        name = f"single-headed SHA-RNN, {split}"
        np.testing.assert_allclose(over_bytes[name].get_xdata(), [10, 20])  # millions
        np.testing.assert_allclose(over_time[name].get_xdata(), [4000 / 3600, 8000 / 3600])
        for found in (over_bytes, over_time):
            np.testing.assert_allclose(found[name].get_ydata(), np.array(losses) / math.log(2))
    labels = [axes.get_xlabel() for axes in figure.axes[:2]]
    assert labels == ["bytes read (millions)", "training time (hours)"]


def test_training_is_thin_and_validation_bold_in_the_runs_colour(write_run):
    found = lines(drawn(write_run("sha_lstm_enwik8"))["learning_enwik8"].figure.axes[0])
    train, valid = (found[f"SHA-LSTM without attention, {split}"] for split in ("train", "eval"))
    assert train.get_linewidth() < valid.get_linewidth()
    assert train.get_color() == valid.get_color() == sha_rnn.NETS["sha_lstm_enwik8"][1]


def test_a_figure_says_whether_training_had_dropout(write_run):
    rates = ("model.input_dropout=0", "model.hidden_dropout=0", "model.dropout=0")
    assert "thin: training, with dropout; bold: validation" in texts(drawn(write_run())["learning_enwik8"].figure)
    assert "thin: training; bold: validation" in texts(drawn(write_run(changes=rates))["learning_enwik8"].figure)


def test_the_loss_in_nats_stands_at_the_right(write_run):
    axes = drawn(write_run())["learning_enwik8"].figure.axes[1]
    (nats,) = axes.child_axes
    nats.figure.draw_without_rendering()
    assert nats.get_ylabel() == "loss (nats)"
    np.testing.assert_allclose(nats.get_ylim(), np.array(axes.get_ylim()) * math.log(2))


def test_both_panels_have_one_scale_that_shows_every_end(write_run):
    left, right = drawn(write_run(train={10: 9, 20: 1}), write_run("sha_lstm_enwik8", valid={20: 2}))[
        "learning_enwik8"
    ].figure.axes[:2]
    assert left.get_ylim() == right.get_ylim()
    low, high = left.get_ylim()
    assert 0 <= low < 0.8 / math.log(2)
    assert 2 / math.log(2) < high < 9 / math.log(2)


def test_words_are_measured_in_perplexity_on_a_logarithmic_scale(write_run):
    folder = write_run("sha_rnn_wikitext2", metric="perplexity", test=80, train={10: 5, 20: 4.5}, valid={20: 4.4})
    figure = drawn(folder)["learning_wikitext2"].figure
    axes = figure.axes[0]
    np.testing.assert_allclose(lines(axes)["SHA-RNN (WikiText-2), train"].get_ydata(), np.exp([5, 4.5]))
    assert axes.get_yscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("words read (millions)", "perplexity")
    assert not any("paper" in text for text in figure.texts[0].get_text().splitlines())


def test_seeds_are_one_line_with_a_band_at_their_mean_time(write_run):
    folders = [write_run(seed=seed, valid={20: 1 + seed}, pace=1 + seed) for seed in (0, 1)]
    left, right = drawn(*folders)["learning_enwik8"].figure.axes[:2]
    line = lines(right)["single-headed SHA-RNN, eval"]
    assert line.get_xdata() == pytest.approx([30])
    assert line.get_ydata() == pytest.approx([1.5 / math.log(2)])
    assert left.collections


def test_runs_share_a_figure_and_are_named_by_what_differs(write_run):
    folders = [
        write_run(),
        write_run("sha_rnn_enwik8_4head"),
        write_run(changes=("model.memory_size=64",), valid={20: 3}),
    ]
    figure = drawn(*folders)["learning_enwik8"].figure
    assert len(lines(figure.axes[0])) == 6
    assert row_of(figure.axes[2], "single-headed SHA-RNN (b)")[2] == f"{3 / math.log(2):.3f}"
    assert "single-headed SHA-RNN (b): model.memory_size=64" in texts(figure)
    assert row_of(figure.axes[2], "4-headed SHA-RNN")


def test_the_keys_have_what_was_reached_and_the_papers_number(write_run):
    axes = drawn(write_run(test=1.0876))["learning_enwik8"].figure.axes
    assert row_of(axes[2], "single-headed SHA-RNN") == ["1", f"{1 / math.log(2):.3f}", f"{0.8 / math.log(2):.3f}"]
    assert row_of(axes[3], "single-headed SHA-RNN") == ["1.088", "1.076"]


def test_an_unfinished_run_is_drawn_and_named(write_run):
    drawing = drawn(write_run(finished=False))["learning_enwik8"]
    assert row_of(drawing.figure.axes[3], "single-headed SHA-RNN") == ["unfinished", "1.076"]
    assert "Not finished: single-headed SHA-RNN." in drawing.caption


def test_a_run_that_logged_neither_bytes_nor_time_is_left_out_and_named(write_run):
    folders = write_run(), write_run("sha_lstm_enwik8", old=True)
    figures = drawn(*folders)
    assert len(lines(figures["learning_enwik8"].figure.axes[0])) == 2
    assert "training_sha_lstm_enwik8_enwik8" in figures
    ((title, reason),) = [each for each in not_drawn(*folders) if "Learning" in each[0]]
    assert title == "Learning curves on enwik8"
    assert "SHA-LSTM without attention" in reason and "bytes and seconds" in reason


def test_an_old_recipe_of_a_drawn_experiment_still_gets_its_course_drawn(write_run):
    folders = write_run(), write_run(changes=("train.epochs=10",), old=True), write_run("sha_lstm_enwik8")
    assert {"learning_enwik8", "training_sha_rnn_enwik8_enwik8_2"} <= set(drawn(*folders))


def test_figures_of_a_sample_say_that_it_is_not_the_papers_data(write_run):
    drawing = drawn(write_run(data="sample"))["learning_wikipedia_sample"]
    assert drawing.title == "Learning curves on the embedded Wikipedia sample, not enwik8"
    assert "may not be compared with the paper's numbers" in drawing.caption
    assert "ours: the embedded Wikipedia sample, at the end; paper: enwik8" in texts(drawing.figure)


def test_an_experiment_that_the_paper_does_not_have_is_not_set_beside_it(write_run):
    drawing = drawn(write_run("sha_rnn_wikitext103", data="sample"))["learning_wikipedia_sample"]
    assert "paper" not in drawing.caption
    assert not any("paper:" in text for text in texts(drawing.figure))


# Compressors


def test_compressors_are_dotted_lines_with_their_names(write_run):
    figure = drawn(write_run(compressors=COMPRESSORS), write_run("sha_lstm_enwik8"))["learning_enwik8"].figure
    for axes in figure.axes[:2]:
        dotted = [line.get_ydata()[0] for line in axes.get_lines() if line.get_linestyle() == ":"]
        assert sorted(dotted) == [2.1, 2.3, 2.8]
    assert {"gzip -9  2.80", "bzip2 -9  2.30", "xz -9e  2.10"} <= set(texts(figure))
    assert "dotted: compressors on the test part, after the training part" in texts(figure)


def test_without_a_training_part_compressors_stand_alone(write_run):
    figure = drawn(write_run(compressors={"alone": COMPRESSORS["alone"]}))["learning_enwik8"].figure
    assert "dotted: compressors on the test part, alone" in texts(figure)
    assert "xz -9e  2.50" in texts(figure)


def test_runs_that_were_tested_on_different_texts_share_no_compressors(write_run):
    folders = (
        write_run(compressors=COMPRESSORS),
        write_run(changes=("data.test_split=test[:1%]",), compressors=COMPRESSORS),
    )
    figure = drawn(*folders)["learning_enwik8"].figure
    assert not [line for line in figure.axes[0].get_lines() if line.get_linestyle() == ":"]
    assert any("tested on different texts" in text for text in texts(figure))
    assert len(tabulated(*folders)["compressors_enwik8"].rows) == 6


def test_compressors_have_a_table(write_run):
    table = tabulated(write_run(compressors=COMPRESSORS))["compressors_enwik8"]
    row = cells_of(table, "bzip2 -9")
    assert (row["alone"], row["after the training part"]) == ("2.400", "2.300")
    assert "compressors_enwik8" not in tabulated(write_run(seed=1))


# Results


def test_the_papers_rows_stand_in_its_order_with_ours_beside_them(write_run):
    table = tabulated(write_run(test=1.08768), write_run("plain_lstm_enwik8", test=1.4))["results_enwik8"]
    models = [row[0] for row in table.rows]
    assert models == ["SHA-LSTM without attention", "single-headed SHA-RNN", "4-headed SHA-RNN", "plain LSTM"]
    assert [row[7] for row in table.texts] == ["1.330", "1.076", "1.068", "–"]
    assert [row[1] for row in table.texts] == ["51 M", "52 M", "54 M", "–"]
    ours = cells_of(table, "single-headed SHA-RNN")
    assert ours["test: measured on enwik8"] == "1.0877"
    assert ours["test: the author's average"] == "1.0876"


@pytest.mark.parametrize(
    ("experiment", "trained", "folded"),
    [  # the paper's 51,698,893 and 54,875,341 with the 24,576 that are never used
        ("sha_rnn_enwik8", 53_773_517, "51,674,317"),
        ("sha_rnn_enwik8_4head", 63_247_565, "54,850,765"),
        ("sha_lstm_enwik8", 50_615_501, "50,615,501"),
        ("plain_lstm_enwik8", 54_055_069, "54,055,069"),
    ],
)
def test_parameters_are_counted_as_trained_and_with_folded_gates(write_run, experiment, trained, folded):
    table = tabulated(write_run(experiment, parameters=trained))["results_enwik8"]
    row = cells_of(table, sha_rnn.title_of(experiment))
    assert row["parameters: trained"] == f"{trained:,}"
    assert row["parameters: gates folded"] == folded


def test_validation_is_that_of_the_tested_checkpoint(write_run):
    folder = write_run(valid={10: 0.75, 20: 0.8}, selected=10)
    assert cells_of(tabulated(folder)["results_enwik8"], "single-headed SHA-RNN")["validation"] == "1.082"


def test_a_table_on_the_sample_warns_of_comparing(write_run):
    table = tabulated(write_run(data="sample"))["results_wikipedia_sample"]
    assert table.title == "Bits per character on the embedded Wikipedia sample, not enwik8"
    assert "not comparable with the paper's numbers" in table.caption


def test_words_have_no_rows_of_the_paper(write_run):
    folder = write_run("sha_rnn_wikitext103", metric="perplexity", test=30.123)
    table = tabulated(folder)["results_wikitext103"]
    assert [row[0] for row in table.rows] == ["SHA-RNN (WikiText-103)"]
    assert table.title == "Perplexity on WikiText-103"
    assert "paper's numbers" not in table.caption


def test_published_models_are_listed_beside_results_on_enwik8_alone(write_run):
    published = tabulated(write_run())["published_enwik8"]
    assert cells_of(published, "Transformer-XL, 18 layers")["parameters, as published"] == "88 M"
    assert "none was measured here" in published.caption
    assert "published_enwik8" not in tabulated(write_run(data="sample"))


def test_the_table_of_all_experiments_has_no_column_for_errors_of_images(write_run):
    table = tabulated(write_run(test=1.0876))["experiments"]
    assert not [column for column in table.columns if "error" in column]
    row = cells_of(table, "sha_rnn_enwik8")
    assert (row["bits per character: paper"], row["bits per character: ours"]) == ("1.076", "1.088")


def test_tables_as_json_keep_every_digit(write_run):
    table = tables.as_json(tabulated(write_run(test=1.08765432))["results_enwik8"])
    ours = next(row for row in table["rows"] if row["model"] == "single-headed SHA-RNN")
    assert ours["test: measured on enwik8"]["values"] == [1.08765432]
    assert ours["test: paper (enwik8)"] == 1.076


def test_the_course_of_a_single_run_is_drawn_too(write_run):
    drawing = drawn(write_run())["training_sha_rnn_enwik8_enwik8"]
    labels = [axes.get_ylabel() for axes in drawing.figure.axes[:3]]
    assert labels == ["loss", "bits per character", "lr"]
    assert "loss, bits per character, learning rate over the steps" in drawing.caption
    assert "evaluation: of the validation part; paper: of the test part" in texts(drawing.figure)


# Attention


def test_attention_has_a_panel_a_layer_over_the_passage(write_run):
    figure = drawn(write_run(attention=ATTENTION))["attention_sha_rnn_enwik8_enwik8"].figure
    for axes, layer in zip(figure.axes[:2], ATTENTION["layers"]):
        (image,) = axes.get_images()
        np.testing.assert_allclose(image.get_array(), np.transpose(layer["weights"]))
        assert axes.get_title("left") == f"layer {layer['layer']}: 25 % of all weight above the line"
    assert [tick.get_text() for tick in figure.axes[1].get_xticklabels()] == ATTENTION["passage"]
    assert any("8 bytes of the test part from byte 512 on" in text for text in texts(figure))


def test_all_layers_share_the_colours_of_the_scale(write_run):
    figure = drawn(write_run(attention=ATTENTION))["attention_sha_rnn_enwik8_enwik8"].figure
    limits = {(image.norm.vmin, image.norm.vmax) for axes in figure.axes for image in axes.get_images()}
    assert limits == {(0, 0.2)}


def test_positions_back_stand_among_their_bins():
    heights = sha_rnn._height(np.array([0, 1, 2, 4, 8]), np.array([0, 1, 3]), 0.5)
    np.testing.assert_allclose(heights, [0, 1, 2.25])


def test_the_line_is_where_the_passage_begins(write_run):
    axes = drawn(write_run(attention=ATTENTION))["attention_sha_rnn_enwik8_enwik8"].figure.axes[0]
    (line,) = axes.patches
    np.testing.assert_allclose(line.get_data().values[:3], [0.5, 1.5, 2.0])  # 1, 2 and 3 positions back


def test_a_model_without_attention_misses_no_figure(write_run):
    folder = write_run("sha_lstm_enwik8")
    assert not [name for name in drawn(folder) if "attention" in name]
    assert not not_drawn(folder)


def test_attention_that_was_not_measured_is_named(write_run):
    assert ("Attention of single-headed SHA-RNN on enwik8", "no finished run with measured weights") in not_drawn(
        write_run()
    )


def test_what_attention_looks_at_is_quoted_in_a_table(write_run):
    table = tabulated(write_run(attention=ATTENTION))["looks_sha_rnn_enwik8_enwik8"]
    assert table.texts[0] == ["1", "the United‖ States", "0.123", "300", "The United‖ Kingdom"]
    assert len(table.rows) == 2


# Files


@pytest.mark.parametrize("unit", ["byte", "word"])
def test_nothing_of_a_figure_overlaps_or_leaves_it(write_run, unit):
    measured = ATTENTION | {"unit": unit}
    nets = ("sha_rnn_enwik8", "sha_rnn_enwik8_4head", "sha_lstm_enwik8", "plain_lstm_enwik8")
    runs = [write_run(net, seed=seed, compressors=COMPRESSORS, attention=measured) for net in nets for seed in (0, 1)]
    runs.append(write_run(changes=("model.memory_size=64",)))
    figures = drawn(*runs)
    assert {"learning_enwik8", "attention_sha_rnn_enwik8_enwik8_1"} <= set(figures)
    for drawing in figures.values():
        drawing.figure.draw_without_rendering()
        shown = [text for axes in drawing.figure.axes for text in axes.texts] + drawing.figure.texts
        shown += [text for axes in drawing.figure.axes if axes.axison for text in axes.get_xticklabels()]
        boxes = [text.get_window_extent() for text in shown]
        for number, box in enumerate(boxes):
            assert box.x0 >= 0 and box.x1 <= drawing.figure.bbox.x1, shown[number].get_text()
            overlapped = [shown[n].get_text() for n, other in enumerate(boxes[:number]) if box.overlaps(other)]
            assert not overlapped, f"{drawing.name}: {shown[number].get_text()} on {overlapped}"


def test_the_same_figures_give_the_same_files(write_run):
    folder = write_run(attention=ATTENTION, compressors=COMPRESSORS)
    first, second = (drawn(folder) for _ in range(2))
    for name in ("learning_enwik8", "attention_sha_rnn_enwik8_enwik8"):
        assert style.as_svg(first[name].figure) == style.as_svg(second[name].figure)
        assert style.as_png(first[name].figure) == style.as_png(second[name].figure)


def test_a_report_measures_attention_once_and_quotes_it_on_its_page(tmp_path, capsys):
    arguments = (
        "--experiment=sha_rnn_enwik8", "--data=synthetic", "--strategy=one_device", "--devices=cpu:0", "--quiet",
        f"--model_dir={tmp_path / 'run'}", "--set=model.width=8", "--set=model.boom_width=8",
        "--set=model.num_layers=2", "--set=model.attention_layers=0,1", "--set=model.memory_size=100",
    )  # fmt: skip
    session = open_session(parse(["main", *arguments]))
    folder = session.folder
    folder.path.mkdir()
    folder.claim(session.recipe, session.settings)
    keras.utils.set_random_seed(0)
    session.task.build_model().save(folder.keras_model)
    folder.log(10, "eval", {"loss": 5.5, "bpc": 7.9, "seconds": 1.0, "bytes": 1000})
    folder.results.write_text(json.dumps({"metrics": {"loss": 5.5, "bpc": 7.9, "bpc_author": 7.9}, "parameters": 1}))

    report = ["main", "--mode=report", "--quiet", "--devices=cpu:0", f"--model_dir={folder.path}"]
    assert main(report) == 0
    kept = folder.path / "report" / "attention_weights.json"
    measured = json.loads(kept.read_text())
    assert [layer["layer"] for layer in measured["weights"]["layers"]] == [0, 1]
    assert str(folder.path / "report" / "attention_sha_rnn_enwik8_synthetic_text.png") in capsys.readouterr().out
    page = (folder.path / "report" / "index.html").read_text()
    assert html.escape(measured["weights"]["layers"][0]["looks"][0]["there"]) in page

    measured["weights"]["layers"][0]["looks"][0]["there"] = "kept from before"
    kept.write_text(json.dumps(measured))
    assert main(report) == 0
    assert "kept from before" in (folder.path / "report" / "index.html").read_text()


def test_every_experiment_with_a_number_of_the_paper_is_in_the_table():
    printed = {name for name in catalog.names() if "bpc" in catalog.get(name).paper.numbers}
    assert set(PAPER_ROWS) == printed

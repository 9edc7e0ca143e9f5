"""Learning curves of language models from run folders with made-up numbers, against those numbers."""

import math

import numpy as np
import pytest

from tests.trainers.figures.drawings import assert_no_overlap, drawn, key_row, lines, not_drawn, tabulated, texts
from tests.trainers.figures.made_up_runs import ATTENTION, COMPRESSORS
from trainers.figures import style
from trainers.figures.sha_rnn import models


def test_bits_per_character_stand_over_bytes_and_over_time(write_text_run):
    figure = drawn(write_text_run(pace=400))["learning_enwik8"].figure
    over_bytes, over_time = (lines(axes) for axes in figure.axes[:2])
    for split, losses in (("train", [2, 1]), ("eval", [1.5, 0.8])):
        name = f"single-headed SHA-RNN, {split}"
        np.testing.assert_allclose(over_bytes[name].get_xdata(), [10, 20])  # millions
        np.testing.assert_allclose(over_time[name].get_xdata(), [4000 / 3600, 8000 / 3600])
        for found in (over_bytes, over_time):
            np.testing.assert_allclose(found[name].get_ydata(), np.array(losses) / math.log(2))
    labels = [axes.get_xlabel() for axes in figure.axes[:2]]
    assert labels == ["bytes read (millions)", "training time (hours)"]


def test_training_is_thin_and_validation_bold_in_the_runs_colour(write_text_run):
    found = lines(drawn(write_text_run("sha_lstm_enwik8"))["learning_enwik8"].figure.axes[0])
    train, valid = (found[f"SHA-LSTM without attention, {split}"] for split in ("train", "eval"))
    assert train.get_linewidth() < valid.get_linewidth()
    assert train.get_color() == valid.get_color() == models.NETS["sha_lstm_enwik8"][1]


def test_a_figure_says_whether_training_had_dropout(write_text_run):
    rates = ("model.input_dropout=0", "model.hidden_dropout=0", "model.dropout=0")
    assert "thin: training, with dropout; bold: validation" in texts(drawn(write_text_run())["learning_enwik8"].figure)
    assert "thin: training; bold: validation" in texts(drawn(write_text_run(changes=rates))["learning_enwik8"].figure)


def test_the_loss_in_nats_stands_at_the_right(write_text_run):
    axes = drawn(write_text_run())["learning_enwik8"].figure.axes[1]
    (nats,) = axes.child_axes
    nats.figure.draw_without_rendering()
    assert nats.get_ylabel() == "loss (nats)"
    np.testing.assert_allclose(nats.get_ylim(), np.array(axes.get_ylim()) * math.log(2))


def test_both_panels_have_one_scale_that_shows_every_end(write_text_run):
    left, right = drawn(write_text_run(train={10: 9, 20: 1}), write_text_run("sha_lstm_enwik8", valid={20: 2}))[
        "learning_enwik8"
    ].figure.axes[:2]
    assert left.get_ylim() == right.get_ylim()
    low, high = left.get_ylim()
    assert 0 <= low < 0.8 / math.log(2)
    assert 2 / math.log(2) < high < 9 / math.log(2)


def test_words_are_measured_in_perplexity_on_a_logarithmic_scale(write_text_run):
    folder = write_text_run("sha_rnn_wikitext2", metric="perplexity", test=80, train={10: 5, 20: 4.5}, valid={20: 4.4})
    figure = drawn(folder)["learning_wikitext2"].figure
    axes = figure.axes[0]
    np.testing.assert_allclose(lines(axes)["SHA-RNN (WikiText-2), train"].get_ydata(), np.exp([5, 4.5]))
    assert axes.get_yscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("words read (millions)", "perplexity")
    assert not any("paper" in text for text in figure.texts[0].get_text().splitlines())


def test_seeds_are_one_line_with_a_band_at_their_mean_time(write_text_run):
    folders = [write_text_run(seed=seed, valid={20: 1 + seed}, pace=1 + seed) for seed in (0, 1)]
    left, right = drawn(*folders)["learning_enwik8"].figure.axes[:2]
    line = lines(right)["single-headed SHA-RNN, eval"]
    assert line.get_xdata() == pytest.approx([30])
    assert line.get_ydata() == pytest.approx([1.5 / math.log(2)])
    assert left.collections


def test_runs_share_a_figure_and_are_named_by_what_differs(write_text_run):
    folders = [
        write_text_run(),
        write_text_run("sha_rnn_enwik8_4head"),
        write_text_run(changes=("model.memory_size=64",), valid={20: 3}),
    ]
    figure = drawn(*folders)["learning_enwik8"].figure
    assert len(lines(figure.axes[0])) == 6
    assert key_row(figure.axes[2], "single-headed SHA-RNN (b)")[2] == f"{3 / math.log(2):.3f}"
    assert "single-headed SHA-RNN (b): model.memory_size=64" in texts(figure)
    assert key_row(figure.axes[2], "4-headed SHA-RNN")


def test_the_keys_have_what_was_reached_and_the_papers_number(write_text_run):
    axes = drawn(write_text_run(test=1.0876))["learning_enwik8"].figure.axes
    assert key_row(axes[2], "single-headed SHA-RNN") == ["1", f"{1 / math.log(2):.3f}", f"{0.8 / math.log(2):.3f}"]
    assert key_row(axes[3], "single-headed SHA-RNN") == ["1.088", "1.076"]


def test_an_unfinished_run_is_drawn_and_named(write_text_run):
    drawing = drawn(write_text_run(finished=False))["learning_enwik8"]
    assert key_row(drawing.figure.axes[3], "single-headed SHA-RNN") == ["unfinished", "1.076"]
    assert "Not finished: single-headed SHA-RNN." in drawing.caption


def test_a_run_that_logged_neither_bytes_nor_time_is_left_out_and_named(write_text_run):
    folders = write_text_run(), write_text_run("sha_lstm_enwik8", old=True)
    figures = drawn(*folders)
    assert len(lines(figures["learning_enwik8"].figure.axes[0])) == 2
    assert "training_sha_lstm_enwik8_enwik8" in figures
    ((title, reason),) = [each for each in not_drawn(*folders) if "Learning" in each[0]]
    assert title == "Learning curves on enwik8"
    assert "SHA-LSTM without attention" in reason and "bytes and seconds" in reason


def test_an_old_recipe_of_a_drawn_experiment_still_gets_its_course_drawn(write_text_run):
    folders = (
        write_text_run(),
        write_text_run(changes=("train.epochs=10",), old=True),
        write_text_run("sha_lstm_enwik8"),
    )
    assert {"learning_enwik8", "training_sha_rnn_enwik8_enwik8_2"} <= set(drawn(*folders))


def test_figures_of_a_sample_say_that_it_is_not_the_papers_data(write_text_run):
    drawing = drawn(write_text_run(data="sample"))["learning_wikipedia_sample"]
    assert drawing.title == "Learning curves on the embedded Wikipedia sample, not enwik8"
    assert "do not compare their height with the paper's numbers" in drawing.caption
    assert "ours: the embedded Wikipedia sample, at the end; paper: enwik8" in texts(drawing.figure)


def test_an_experiment_that_the_paper_does_not_have_is_not_set_beside_it(write_text_run):
    drawing = drawn(write_text_run("sha_rnn_wikitext103", data="sample"))["learning_wikipedia_sample"]
    assert "paper" not in drawing.caption
    assert not any("paper:" in text for text in texts(drawing.figure))


def test_compressors_are_dotted_lines_with_their_names(write_text_run):
    figure = drawn(write_text_run(compressors=COMPRESSORS), write_text_run("sha_lstm_enwik8"))["learning_enwik8"].figure
    for axes in figure.axes[:2]:
        dotted = [line.get_ydata()[0] for line in axes.get_lines() if line.get_linestyle() == ":"]
        assert sorted(dotted) == [2.1, 2.3, 2.8]
    assert {"gzip -9  2.80", "bzip2 -9  2.30", "xz -9e  2.10"} <= set(texts(figure))
    assert "dotted: compressors on the test part, after the training part" in texts(figure)


def test_without_a_training_part_compressors_stand_alone(write_text_run):
    figure = drawn(write_text_run(compressors={"alone": COMPRESSORS["alone"]}))["learning_enwik8"].figure
    assert "dotted: compressors on the test part, alone" in texts(figure)
    assert "xz -9e  2.50" in texts(figure)


def test_runs_that_were_tested_on_different_texts_share_no_compressors(write_text_run):
    folders = (
        write_text_run(compressors=COMPRESSORS),
        write_text_run(changes=("data.test_split=test[:1%]",), compressors=COMPRESSORS),
    )
    figure = drawn(*folders)["learning_enwik8"].figure
    assert not [line for line in figure.axes[0].get_lines() if line.get_linestyle() == ":"]
    assert any("tested on different texts" in text for text in texts(figure))
    assert len(tabulated(*folders)["compressors_enwik8"].rows) == 6


def test_the_course_of_a_single_run_is_drawn_too(write_text_run):
    drawing = drawn(write_text_run())["training_sha_rnn_enwik8_enwik8"]
    labels = [axes.get_ylabel() for axes in drawing.figure.axes[:3]]
    assert labels == ["loss", "bits per character", "lr"]
    assert "loss, bits per character, learning rate over the steps" in drawing.caption
    assert "evaluation: validation split; paper: test split" in texts(drawing.figure)


@pytest.mark.parametrize("unit", ["byte", "word"])
def test_nothing_of_a_figure_overlaps_or_leaves_it(write_text_run, unit):
    measured = ATTENTION | {"unit": unit}
    nets = ("sha_rnn_enwik8", "sha_rnn_enwik8_4head", "sha_lstm_enwik8", "plain_lstm_enwik8")
    runs = [
        write_text_run(net, seed=seed, compressors=COMPRESSORS, attention=measured) for net in nets for seed in (0, 1)
    ]
    runs.append(write_text_run(changes=("model.memory_size=64",)))
    figures = drawn(*runs)
    assert {"learning_enwik8", "attention_sha_rnn_enwik8_enwik8_1"} <= set(figures)
    for drawing in figures.values():
        assert_no_overlap(drawing)


def test_the_same_figures_give_the_same_files(write_text_run):
    folder = write_text_run(attention=ATTENTION, compressors=COMPRESSORS)
    first, second = (drawn(folder) for _ in range(2))
    for name in ("learning_enwik8", "attention_sha_rnn_enwik8_enwik8"):
        assert style.as_svg(first[name].figure) == style.as_svg(second[name].figure)
        assert style.as_png(first[name].figure) == style.as_png(second[name].figure)

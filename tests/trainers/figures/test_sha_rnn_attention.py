"""Heat maps and quotations of attention, from made-up weights, and once from a real model."""

import html
import json

import keras
import numpy as np

from flags.run import parse
from tests.trainers.figures.drawings import drawn, not_drawn, tabulated, texts
from tests.trainers.figures.made_up_runs import ATTENTION
from trainers.figures.sha_rnn import attention
from trainers.main import main
from trainers.session import open_session


def test_attention_has_a_panel_a_layer_over_the_passage(write_text_run):
    figure = drawn(write_text_run(attention=ATTENTION))["attention_sha_rnn_enwik8_enwik8"].figure
    for axes, layer in zip(figure.axes[:2], ATTENTION["layers"]):
        (image,) = axes.get_images()
        np.testing.assert_allclose(image.get_array(), np.transpose(layer["weights"]))
        assert axes.get_title("left") == f"layer {layer['layer']}: 25 % of all weight above the line"
    assert [tick.get_text() for tick in figure.axes[1].get_xticklabels()] == ATTENTION["passage"]
    assert any("8 bytes of the test part from byte 512 on" in text for text in texts(figure))


def test_all_layers_share_the_colours_of_the_scale(write_text_run):
    figure = drawn(write_text_run(attention=ATTENTION))["attention_sha_rnn_enwik8_enwik8"].figure
    limits = {(image.norm.vmin, image.norm.vmax) for axes in figure.axes for image in axes.get_images()}
    assert limits == {(0, 0.2)}


def test_positions_back_stand_among_their_bins():
    heights = attention._height(np.array([0, 1, 2, 4, 8]), np.array([0, 1, 3]), 0.5)
    np.testing.assert_allclose(heights, [0, 1, 2.25])


def test_the_line_is_where_the_passage_begins(write_text_run):
    axes = drawn(write_text_run(attention=ATTENTION))["attention_sha_rnn_enwik8_enwik8"].figure.axes[0]
    (line,) = axes.patches
    np.testing.assert_allclose(line.get_data().values[:3], [0.5, 1.5, 2.0])  # 1, 2 and 3 positions back


def test_a_model_without_attention_misses_no_figure(write_text_run):
    folder = write_text_run("sha_lstm_enwik8")
    assert not [name for name in drawn(folder) if "attention" in name]
    assert not not_drawn(folder)


def test_attention_that_was_not_measured_is_named(write_text_run):
    assert ("Attention of single-headed SHA-RNN on enwik8", "no finished run with measured weights") in not_drawn(
        write_text_run()
    )


def test_what_attention_looks_at_is_quoted_in_a_table(write_text_run):
    table = tabulated(write_text_run(attention=ATTENTION))["looks_sha_rnn_enwik8_enwik8"]
    assert table.texts[0] == ["1", "the United‖ States", "0.123", "300", "The United‖ Kingdom"]
    assert len(table.rows) == 2


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

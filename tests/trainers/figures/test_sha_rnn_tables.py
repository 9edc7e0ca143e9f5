"""Tables of language models from run folders with made-up numbers, against those numbers and the paper's."""

import pytest

from flags import catalog
from tests.trainers.figures.drawings import cells_of, tabulated
from tests.trainers.figures.made_up_runs import COMPRESSORS
from trainers.figures import tables
from trainers.figures.sha_rnn import models
from trainers.figures.sha_rnn.tables import PAPER_ROWS


def test_compressors_have_a_table(write_text_run):
    table = tabulated(write_text_run(compressors=COMPRESSORS))["compressors_enwik8"]
    row = cells_of(table, "bzip2 -9")
    assert (row["bits per character, alone"], row["bits per character, after the training part"]) == ("2.400", "2.300")
    assert "compressors_enwik8" not in tabulated(write_text_run(seed=1))


def test_the_papers_rows_stand_in_its_order_with_ours_beside_them(write_text_run):
    table = tabulated(write_text_run(test=1.08768), write_text_run("plain_lstm_enwik8", test=1.4))["results_enwik8"]
    models = [row[0] for row in table.rows]
    assert models == ["SHA-LSTM without attention", "single-headed SHA-RNN", "4-headed SHA-RNN", "plain LSTM"]
    assert [row[7] for row in table.texts] == ["1.330", "1.076", "1.068", "–"]
    assert [row[1] for row in table.texts] == ["51 M", "52 M", "54 M", "–"]
    ours = cells_of(table, "single-headed SHA-RNN")
    assert ours["bits per character, test: measured on enwik8"] == "1.0877"
    assert ours["bits per character, test: the author's average"] == "1.0876"


@pytest.mark.parametrize(
    ("experiment", "trained", "folded"),
    [  # the paper's 51,698,893 and 54,875,341 with the 24,576 that are never used
        ("sha_rnn_enwik8", 53_773_517, "51,674,317"),
        ("sha_rnn_enwik8_4head", 63_247_565, "54,850,765"),
        ("sha_lstm_enwik8", 50_615_501, "50,615,501"),
        ("plain_lstm_enwik8", 54_055_069, "54,055,069"),
    ],
)
def test_parameters_are_counted_as_trained_and_with_folded_gates(write_text_run, experiment, trained, folded):
    table = tabulated(write_text_run(experiment, parameters=trained))["results_enwik8"]
    row = cells_of(table, models.title_of(experiment))
    assert row["parameters: trained"] == f"{trained:,}"
    assert row["parameters: gates folded"] == folded


def test_validation_is_that_of_the_tested_checkpoint(write_text_run):
    folder = write_text_run(valid={10: 0.75, 20: 0.8}, selected=10)
    assert (
        cells_of(tabulated(folder)["results_enwik8"], "single-headed SHA-RNN")[
            "bits per character, validation: measured on enwik8"
        ]
        == "1.082"
    )


def test_a_table_on_the_sample_warns_of_comparing(write_text_run):
    table = tabulated(write_text_run(data="sample"))["results_wikipedia_sample"]
    assert table.title == "Bits per character on the embedded Wikipedia sample, not enwik8"
    assert "not comparable with the paper's numbers" in table.caption


def test_words_have_no_rows_of_the_paper(write_text_run):
    folder = write_text_run("sha_rnn_wikitext103", metric="perplexity", test=30.123)
    table = tabulated(folder)["results_wikitext103"]
    assert [row[0] for row in table.rows] == ["SHA-RNN (WikiText-103)"]
    assert table.title == "Perplexity on WikiText-103"
    assert "paper's numbers" not in table.caption


def test_published_models_are_listed_beside_results_on_enwik8_alone(write_text_run):
    published = tabulated(write_text_run())["published_enwik8"]
    assert cells_of(published, "Transformer-XL, 18 layers")["parameters, as published"] == "88 M"
    assert "none was measured here" in published.caption
    assert "published_enwik8" not in tabulated(write_text_run(data="sample"))


def test_the_table_of_all_experiments_has_no_column_for_errors_of_images(write_text_run):
    table = tabulated(write_text_run(test=1.0876))["experiments"]
    assert not [column for column in table.columns if "error" in column]
    row = cells_of(table, "sha_rnn_enwik8")
    assert (row["bits per character: paper"], row["bits per character: ours"]) == ("1.076", "1.088")


def test_tables_as_json_keep_every_digit(write_text_run):
    table = tables.as_json(tabulated(write_text_run(test=1.08765432))["results_enwik8"])
    ours = next(row for row in table["rows"] if row["model"] == "single-headed SHA-RNN")
    assert ours["bits per character, test: measured on enwik8"]["values"] == [1.08765432]
    assert ours["bits per character, test: paper (enwik8)"] == 1.076


def test_every_experiment_with_a_number_of_the_paper_is_in_the_table():
    printed = {name for name in catalog.names() if "bpc" in catalog.get(name).paper.numbers}
    assert set(PAPER_ROWS) == printed

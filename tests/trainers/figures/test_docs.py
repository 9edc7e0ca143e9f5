"""Tables of documentation pages: filled from CSV files, and up to date in this checkout."""

import pathlib

import pytest

from flags.errors import UserError
from tests.trainers.figures.drawings import tabulated
from trainers.figures import docs, tables

ROOT = pathlib.Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CSV = """\
network,parameters,top-1 error (%): ours,top-1 error (%): ours: std,top-1 error (%): ours: values,bits per character,lr
a,269722,8.512,0.7071,8.0 9.0,1.08765,0.0005
b,,8.123,,8.123,,1e-06
c|d,,≈ 13.3,,,,
"""


@pytest.fixture
def page(tmp_path):
    """A page beside a table."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "nets.csv").write_text(CSV)
    return tmp_path / "page.md"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_tables_of_a_committed_page_are_those_of_the_results(path):
    assert docs.fill(path) == path.read_text()


def test_a_block_gets_the_table_of_its_file_and_the_rest_stays(page):
    page.write_text("# Nets\n\n<!-- table: results/nets.csv -->\nold\n<!-- end -->\nand more\n")
    assert docs.main([str(page)]) == 0
    assert page.read_text() == (
        "# Nets\n\n<!-- table: results/nets.csv -->\n\n"
        "| network | parameters | top-1 error (%): ours | bits per character | lr |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| a | 269,722 | 8.51 ± 0.71 | 1.088 | 0.0005 |\n"
        "| b | – | 8.12 | – | 1e-06 |\n"
        "| c\\|d | – | ≈ 13.3 | – | – |\n"
        "\n<!-- end -->\nand more\n"
    )


def test_filling_twice_changes_nothing_and_names_no_page(page, capsys):
    page.write_text("<!-- table: results/nets.csv -->\n<!-- end -->\n")
    docs.main([str(page.parent)])
    assert capsys.readouterr().out == f"{page}\n"
    docs.main([str(page.parent)])
    assert capsys.readouterr().out == ""


def test_a_block_chooses_columns(page):
    page.write_text("<!-- table: results/nets.csv | bits per character | network -->\n<!-- end -->\n")
    assert "| bits per character | network |\n| --- | --- |\n| 1.088 | a |" in docs.fill(page)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- table: results/none.csv -->\n<!-- end -->", "none.csv: the table cannot be read"),
        ("<!-- table: results/nets.csv | error -->\n<!-- end -->", "no column 'error'. Columns: network, "),
        ("<!-- table: results/nets.csv -->\n", "has no <!-- end -->"),
        ("<!-- table: results/nets.csv -->\n<!-- table: results/nets.csv -->\n<!-- end -->", "before the <!-- end -->"),
    ],
)
def test_a_mistake_in_a_page_is_named_and_the_page_stays(page, capsys, text, message):
    page.write_text(text)
    with pytest.raises(UserError, match=message.replace("(", "\\(")):
        docs.fill(page)
    assert docs.main([str(page)]) == 2
    assert message in capsys.readouterr().err
    assert page.read_text() == text


def test_the_mean_of_a_report_is_written_with_its_deviation(write_run, tmp_path):
    folders = [write_run("resnet20_cifar10", seed=seed, test={200: 8 + seed / 3}) for seed in (0, 1)]
    (tmp_path / "table.csv").write_text(tables.as_csv(tabulated(*folders)["table6_cifar10"]))
    assert "| 8.17 ± 0.24 |" in docs.as_markdown(tmp_path / "table.csv")

"""Experiments by name, and their variants."""

import json
import subprocess
import sys

import pytest

from flags import catalog, listing, overrides, tasks
from flags.errors import UserError

EVERY = catalog.names()


def test_the_names_of_the_design_are_there():
    assert {f"effnet_b{size}" for size in range(8)} <= set(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_an_experiment_has_the_name_it_is_found_by(name):
    assert catalog.get(name).name == name


@pytest.mark.parametrize("name", EVERY)
def test_an_experiment_says_what_it_reproduces_and_where_it_deviates(name):
    experiment = catalog.get(name)
    assert experiment.paper.citation and experiment.paper.row
    assert experiment.paper.numbers or experiment.paper.row.startswith(("Figure", "no figure"))
    assert experiment.summary and "\n" not in experiment.summary
    assert all("\n" not in deviation and deviation.endswith(".") for deviation in experiment.deviations)
    assert experiment.sample_deviations


def test_an_unknown_name_gets_the_nearest(mistake_of):
    message = mistake_of(catalog.get, "efnet_b0")
    assert message.startswith("--experiment=efnet_b0: no such experiment. Near: effnet_b0, effnet_b1")
    assert message.endswith("See --list_experiments.")


def test_a_name_like_no_other_gets_the_list(mistake_of):
    assert mistake_of(catalog.get, "zzz") == "--experiment=zzz: no such experiment. See --list_experiments."


def test_two_experiments_cannot_share_a_name():
    def effnet_b0():
        raise AssertionError("never called")

    with pytest.raises(ValueError, match="registered already"):
        catalog.experiment(effnet_b0)


@pytest.mark.parametrize("name", EVERY)
def test_the_paper_variant_is_the_experiment_itself(name):
    experiment = catalog.get(name)
    assert catalog.variant(experiment, "paper") is experiment


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("data", ["sample", "synthetic"])
def test_a_variant_changes_exactly_the_fields_it_lists(name, data):
    experiment = catalog.get(name)
    changes = getattr(experiment, data)
    lines = overrides.difference(overrides.flatten(experiment), overrides.flatten(catalog.variant(experiment, data)))
    changed = {line.partition(":")[0] for line in lines}
    flat = overrides.flatten(experiment)
    assert changed == {
        path for path, value in changes.items() if flat[path] != (list(value) if isinstance(value, tuple) else value)
    }


@pytest.mark.parametrize("name", EVERY)
def test_a_variant_puts_its_own_deviations_before_the_recipes(name):
    experiment = catalog.get(name)
    sample = catalog.variant(experiment, "sample").deviations
    assert sample == (*experiment.sample_deviations, *experiment.deviations)
    made_up = tasks.get(experiment.task).synthetic
    synthetic = catalog.variant(experiment, "synthetic").deviations[0]
    assert made_up in synthetic and "Only speed" in synthetic


def test_the_list_is_grouped_by_paper_and_shows_each_row():
    text = listing.as_text()
    for citation, experiments in catalog.by_paper().items():
        assert citation in text.splitlines()
        for experiment in experiments:
            (line,) = [line for line in text.splitlines() if line.split()[:1] == [experiment.name]]
            assert experiment.paper.row in line
            assert experiment.summary in line
    assert "77.10%" in text


def test_the_list_shows_top1_of_classifiers_and_bits_per_byte_of_language_models():
    lines = listing.as_text().splitlines()
    headers = [line for line in lines if line.split()[:1] == ["name"]]
    assert ["top-1" in header for header in headers] == [True, True, False, True]
    assert "paper's bits per character" in headers[2]
    (line,) = [line for line in lines if line.split()[:1] == ["sha_rnn_enwik8"]]
    assert "1.076" in line


def test_papers_stand_in_their_order_whichever_is_imported_first():
    code = "from flags import catalog; from flags.papers import double_descent; print(*catalog.names())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert found == catalog.names() and found[0] == "plain18"


def test_the_list_as_json_is_one_object_with_every_experiment():
    rows = json.loads(listing.as_json())["experiments"]
    assert [row["name"] for row in rows] == [e.name for group in catalog.by_paper().values() for e in group]
    assert rows[0]["numbers"]["top1"] == catalog.get(rows[0]["name"]).paper.numbers["top1"]
    assert set(rows[0]) == {"name", "paper", "row", "numbers", "summary"}


@pytest.mark.parametrize("split", ["none", "validation"])
def test_nothing_is_selected_on_the_test_split(split):
    with pytest.raises(UserError, match="train.select=best selects by data.validation_split"):
        overrides.apply(catalog.get("effnet_b0"), {"data.validation_split": None if split == "none" else split}.items())

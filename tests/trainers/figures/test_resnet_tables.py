"""Tables of ResNet from run folders with made-up numbers, against those numbers and the paper's."""

from tests.trainers.figures.drawings import cells_of, tabulated


def test_table_6_has_every_network_with_the_papers_number_and_ours(write_run):
    folders = [write_run("resnet110_cifar10", seed=seed, test={200: 6 + seed}) for seed in (0, 1)]
    table = tabulated(*folders)["table6_cifar10"]
    assert len(table.rows) == 11
    cells = cells_of(table, "ResNet-110")
    assert cells["error (%): paper (CIFAR-10)"] == "6.43 (6.61 ± 0.16)"
    assert cells["error (%): measured on cifar10"] == "6.00 (6.50 ± 0.71)"
    assert cells["seeds"] == "2"
    assert cells_of(table, "plain-56")["error (%): paper (CIFAR-10)"] == "≈ 13.3"


def test_table_2_has_the_papers_layout(write_run):
    table = tabulated(write_run("plain18", test={200: 28}), write_run("resnet34", test={200: 25}))[
        "table2_imagenet2012"
    ]
    assert table.texts == [
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
    assert found["experiments"].columns[4] == "top-1 error (%): paper"


def test_both_kinds_of_batch_norm_statistics_are_shown(write_run):
    table = tabulated(write_run("resnet20_cifar10", test={200: 9}, moving=11))["table6_cifar10"]
    cells = cells_of(table, "ResNet-20")
    assert cells["error (%): measured on cifar10"] == "9.00"
    assert cells["error (%): measured on cifar10, moving statistics"] == "11.00"

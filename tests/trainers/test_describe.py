import json

import pytest

from trainers.main import main

ARGUMENTS = ["main", "--mode=describe", "--strategy=one_device", "--devices=cpu:0"]


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """What `--mode=describe` prints of B0 where ImageNet is not prepared: as text and as JSON."""
    import contextlib
    import io

    folder = tmp_path_factory.mktemp("empty")
    printed = []
    for extra in ([], ["--json"]):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert main([*ARGUMENTS, "--experiment=effnet_b0", f"--data_dir={folder}", *extra]) == 0
        printed.append(out.getvalue())
    return printed[0], json.loads(printed[1])


def test_counts_are_those_of_the_paper(described):
    assert described[1]["parameters"] == 5_288_548 and described[1]["multiply_adds"] == 385_814_752


def test_steps_and_rates_are_those_of_the_official_code(described):
    facts = described[1]
    assert facts["steps"] == 109_474
    rates = {facts["lr_labels"][step]: (int(step), rate) for step, rate in facts["lr"].items()}
    assert rates["start"] == (0, 0.0)
    assert rates["end of warm-up"] == (1563, pytest.approx(0.256 * 0.97**2, rel=1e-6))
    assert rates["last step"] == (109_473, pytest.approx(0.256 * 0.97**145, rel=1e-6))


def test_data_that_is_not_there_comes_with_the_way_to_get_it(described):
    data = described[1]["data"]
    assert data["name"] == "imagenet2012" and data["prepared"] is False
    assert "ILSVRC2012_img_train.tar" in data["how"] and "--mode=prepare" in data["how"]


def test_the_text_shows_layers_memory_rates_and_deviations(described):
    text = described[0]
    for part in ("block7a_project_conv", "memory of one step", "learning rate", "deviations from the paper", "77.10%"):
        assert part in text


def test_memory_grows_with_the_micro_batch(tmp_path, capsys):
    sizes = []
    for micro_batches in (1, 4):
        arguments = [*ARGUMENTS, "--experiment=effnet_b0", "--data=synthetic", "--json", "--set=train.global_batch=8"]
        assert main([*arguments, f"--set=train.micro_batches={micro_batches}"]) == 0
        sizes.append(json.loads(capsys.readouterr().out)["memory_mb"])
    assert sizes[0]["activations"] == pytest.approx(4 * sizes[1]["activations"])
    assert sizes[0]["weights"] == sizes[1]["weights"] == pytest.approx(5_330_564 * 4 / 2**20)

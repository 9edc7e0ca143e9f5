import contextlib
import io
import json

import pytest

from trainers.main import main

ARGUMENTS = ["main", "--mode=describe", "--strategy=one_device", "--devices=cpu:0"]


def described_by(experiment, folder):
    """What `--mode=describe` prints where no data is prepared: as text and as JSON."""
    printed = []
    for extra in ([], ["--json"]):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert main([*ARGUMENTS, f"--experiment={experiment}", f"--data_dir={folder}", *extra]) == 0
        printed.append(out.getvalue())
    return printed[0], json.loads(printed[1])


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    return described_by("effnet_b0", tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="module")
def described_text(tmp_path_factory):
    return described_by("sha_rnn_enwik8", tmp_path_factory.mktemp("empty"))


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


def test_a_language_model_counts_what_is_trained_and_what_the_paper_counts(described_text):
    facts = described_text[1]
    assert facts["parameters"] == 53_773_517
    assert [*facts["parameter_counts"].values()] == [53_798_093, 51_698_893]
    assert facts["multiply_adds"] == 61_830_144


def test_a_text_that_is_not_there_is_cut_by_the_rule_of_the_authors_code(described_text):
    facts = described_text[1]
    first, second = facts["passes"]
    assert facts["data"]["prepared"] is False and "--mode=prepare --download" in facts["data"]["how"]
    assert facts["unit"] == "byte" and facts["symbols_per_epoch"] == 90_000_000
    assert facts["steps"] == first["steps"] + second["steps"] == pytest.approx(37 * 5640, rel=2e-3)
    assert [facts["epochs"], first["epochs"], second["epochs"]] == pytest.approx([37, 32, 5], rel=1e-6)
    assert first["first_segment_lengths"][:6] == [1018, 1022, 1022, 1024, 1019, 1021]
    assert second["first_segment_lengths"][:6] == [1024, 1021, 1024, 1024, 1013, 1023]
    assert first["mean_segment_length"] == pytest.approx(996.2, abs=0.5)


def test_both_passes_warm_up_the_second_to_half_the_rate(described_text):
    facts = described_text[1]
    second = facts["passes"][0]["steps"]
    rates = {(int(step), facts["lr_labels"][step]): rate for step, rate in facts["lr"].items()}
    assert rates == {
        (0, "start"): pytest.approx(2e-3 / 800),
        (799, "end of warm-up"): pytest.approx(2e-3),
        (second, "second pass"): pytest.approx(1e-3 / 800),
        (second + 799, "end of warm-up"): pytest.approx(1e-3),
        (facts["steps"] - 1, "last step"): pytest.approx(1e-3),
    }


def test_the_text_of_a_language_model_shows_counts_memory_and_segments(described_text):
    text = described_text[0]
    for part in (
        "block2_attention", "Tx1024", "bits per character", "1.076", "51,698,893", "52M", "multiply-adds per byte",
        "16 lanes of 1,024 bytes", "19.6 per lane", "second pass", "1018 1022 1022", "deviations from the paper",
    ):  # fmt: skip
        assert part in text, part


SMALL_TEXT = [
    *ARGUMENTS, "--data=synthetic", "--json", "--set=model.width=8", "--set=data.segment_length=32",
]  # fmt: skip


def test_the_carried_state_is_that_of_a_devices_lanes(capsys):
    arguments = ["--set=model.boom_width=16", "--set=model.memory_size=50", "--set=train.global_batch=4"]
    assert main([*SMALL_TEXT, "--experiment=sha_rnn_enwik8", *arguments]) == 0
    facts = json.loads(capsys.readouterr().out)
    lane = 4 * (4 * 2 * 8 + 50 * 8 + 1)  # hidden and cell of four blocks, one memory, its number of rows
    assert facts["carried_state_mb_per_lane"] * 2**20 == pytest.approx(lane)
    assert facts["memory_mb"]["carried_state"] * 2**20 == pytest.approx(4 * lane)


def test_a_language_model_of_no_author_has_no_count_of_his(capsys):
    assert main([*SMALL_TEXT, "--experiment=plain_lstm_enwik8"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert "parameters" in facts and not facts["parameter_counts"]
    assert facts["data"] == {"name": "synthetic_text", "prepared": True, "how": "generated in memory"}
    assert [one["steps"] for one in facts["passes"]] == [facts["steps"]]

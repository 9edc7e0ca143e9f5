import contextlib
import io
import json

import pytest

from flags.run import parse
from trainers.main import main
from trainers.modes import benchmark
from trainers.session import open_session

COMMAND = ("main", "--mode=benchmark", "--json", "--data=synthetic", "--strategy=one_device", "--devices=cpu:0")
SMALL_TEXT = (
    "--experiment=sha_rnn_enwik8", "--set=model.width=8", "--set=model.boom_width=16", "--set=model.num_layers=2",
    "--set=model.attention_layers=1", "--set=model.memory_size=40", "--set=data.segment_length=16",
    "--set=train.global_batch=8",
)  # fmt: skip


def measured(*arguments):
    """What the benchmark prints, measured in short windows."""
    before, benchmark.WINDOW_SECONDS = benchmark.WINDOW_SECONDS, 0.2
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([*COMMAND, *arguments]) == 0
    benchmark.WINDOW_SECONDS = before
    return json.loads(out.getvalue())


@pytest.fixture(scope="module")
def numbers():
    return measured(
        "--experiment=effnet_b0", "--set=model.width=0.1", "--set=model.depth=0.1", "--set=model.resolution=32",
        "--set=train.global_batch=8",
    )  # fmt: skip


@pytest.fixture(scope="module")
def numbers_of_text():
    return measured(*SMALL_TEXT)


def test_benchmark_gives_the_promised_numbers(numbers):
    promised = {
        "examples_per_second", "step_seconds", "seconds_to_first_step", "peak_memory_mb", "loop_share",
        "input_examples_per_second",
    }  # fmt: skip
    assert promised <= set(numbers)
    assert all(numbers[name] > 0 for name in promised)


def test_speed_and_step_time_agree(numbers):
    assert numbers["examples_per_second"] * numbers["step_seconds"] == pytest.approx(8)


def test_the_loop_is_traced_once_whatever_feeds_it(numbers):
    assert numbers["traces"] == 1


def test_benchmark_of_a_text_counts_bytes(numbers_of_text):
    promised = {
        "bytes_per_second", "bytes_per_second_same_batch", "bytes_per_second_bare_step", "step_seconds",
        "seconds_to_first_step", "peak_memory_mb", "loop_share", "input_bytes_per_second",
    }  # fmt: skip
    assert promised <= set(numbers_of_text) and "examples_per_second" not in numbers_of_text
    assert all(numbers_of_text[name] > 0 for name in promised)


def test_segments_of_all_lengths_are_traced_once(numbers_of_text):
    assert numbers_of_text["traces"] == 1


@pytest.fixture(scope="module")
def text_session():
    return open_session(parse([*COMMAND, *SMALL_TEXT]))


def test_the_same_batch_of_a_text_is_a_segment_of_full_length(text_session):
    (batch,) = text_session.task.one_batch(1).dataset
    assert batch["tokens"].shape == batch["targets"].shape == (8, 16)
    assert text_session.task.segments.length[0] < 16  # the run's own first segment is shorter


def test_a_text_that_comes_to_its_end_begins_again(text_session):
    segments = text_session.task.segments
    real = benchmark.RealInput(text_session)
    real.advance(len(segments) - 1)
    real.advance(3)
    of_each = real.units_per_step
    assert of_each[0] == pytest.approx(8 * segments.length[:-1].mean())
    assert of_each[1] == pytest.approx(8 * (segments.length[-1] + segments.length[:2].sum()) / 3)


def test_each_replica_repeats_a_segment_of_its_share_of_the_lanes(two_replicas):
    session = open_session(parse([*COMMAND, *SMALL_TEXT]), strategy=two_replicas)
    (batch,) = session.task.one_batch(2).dataset
    assert batch["tokens"].shape == (4, 16)

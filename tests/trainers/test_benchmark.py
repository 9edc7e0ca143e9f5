import json

import pytest

from trainers import benchmark
from trainers.main import main


@pytest.fixture(scope="module")
def numbers():
    import contextlib
    import io

    arguments = [
        "main", "--mode=benchmark", "--json", "--experiment=effnet_b0", "--data=synthetic", "--strategy=one_device",
        "--devices=cpu:0", "--set=model.width=0.1", "--set=model.depth=0.1", "--set=model.resolution=32",
        "--set=train.global_batch=8",
    ]  # fmt: skip
    before, benchmark.WINDOW_SECONDS = benchmark.WINDOW_SECONDS, 0.2
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(arguments) == 0
    benchmark.WINDOW_SECONDS = before
    return json.loads(out.getvalue())


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

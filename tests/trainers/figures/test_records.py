"""Runs, groups of runs and estimates from them."""

import numpy as np
import pytest

from tests.trainers.figures.drawings import groups_of
from trainers.figures import reading, records
from trainers.figures.records import Data, Estimate


def test_a_mean_of_right_answers_that_float32_put_above_1_is_no_error_at_all():
    assert records.error_percent(1 + 1e-7) == 0 and str(records.error_percent(1 + 1e-7)) == "0.0"


def test_a_run_that_repeats_another_is_left_out(write_run):
    whole, part = write_run(name="b_whole"), write_run(name="a_part", finished=False)
    kept, lines_of_rest = records.without_repetitions([reading.read(part), reading.read(whole)])
    assert [record.folder for record in kept] == [whole]
    assert str(part) in lines_of_rest[0]


def test_a_long_curve_is_averaged_between_evaluations(write_run):
    train = {step: step / 1000 for step in range(100, 20_001, 100)}
    curve = groups_of(write_run(train=train))[0].curve("train", "top1", records.error_percent)
    assert list(curve.steps[:2]) == [1000, 2000]
    np.testing.assert_allclose(curve.mean[:2], [0.55, 1.55])
    assert len(curve.steps) == 20


def test_a_standard_deviation_takes_two_values():
    assert Estimate((3.0,)).std is None
    assert Estimate((1.0, 3.0)).std == pytest.approx(2**0.5)


def test_data_is_named_in_files_by_what_it_is():
    assert Data("cifar10", "paper").slug == "cifar10"
    assert Data("digits", "sample").slug == "digits_sample"
    assert Data("synthetic_cifar10", "synthetic").slug == "synthetic_cifar10"

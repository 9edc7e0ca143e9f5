"""Writers of run folders with made-up numbers, for figures and tables of images, of texts, and of sweeps."""

import functools

import pytest

from tests.trainers.figures import made_up_runs, made_up_trials


@pytest.fixture
def write_run(tmp_path):
    """Writes the folder of a run of images."""
    return functools.partial(made_up_runs.write_run, tmp_path)


@pytest.fixture
def write_text_run(tmp_path):
    """Writes the folder of a run of a language model."""
    return functools.partial(made_up_runs.write_text_run, tmp_path)


@pytest.fixture
def write_trial(tmp_path):
    """Writes the folder of a trial into a sweep."""
    return functools.partial(made_up_trials.write_trial, tmp_path / "sweep")


@pytest.fixture
def write_widths(tmp_path):
    """Writes the folders of a sweep's trials over the width."""
    return functools.partial(made_up_trials.write_widths, tmp_path / "sweep")

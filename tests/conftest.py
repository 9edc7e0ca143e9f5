"""What all tests share: full garbage collections that do not visit what earlier test files left."""

import gc

import pytest


@pytest.fixture(scope="module", autouse=True)
def earlier_objects_frozen():
    """TensorFlow and Keras keep millions of objects of earlier tests, and every full collection would visit them."""
    yield
    gc.collect()
    gc.freeze()

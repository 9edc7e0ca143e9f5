"""Networks deeper than Python's recursion limit, which Keras meets where it walks a graph."""

import sys

import keras
import pytest

from tf_models.deep_graphs import deep_graphs

DEPTH = sys.getrecursionlimit() + 100


@pytest.fixture(scope="module")
def deep_model():
    inputs = x = keras.Input((3,))
    for _ in range(DEPTH):
        x = keras.layers.Activation("relu")(x)
    with deep_graphs():
        return keras.Model(inputs, x)


def test_a_deep_model_cannot_be_built_outside(deep_model):
    with pytest.raises(RecursionError):
        keras.Model(deep_model.inputs, deep_model.outputs)


def test_a_deep_model_is_saved_anywhere_and_loaded_inside(deep_model, tmp_path):
    deep_model.save(tmp_path / "model.keras")
    with deep_graphs():
        assert len(keras.saving.load_model(tmp_path / "model.keras").layers) == DEPTH + 1


def test_the_limit_is_put_back_after_an_error():
    before = sys.getrecursionlimit()
    with pytest.raises(ZeroDivisionError), deep_graphs():
        assert sys.getrecursionlimit() > before
        1 / 0  # noqa: B018
    assert sys.getrecursionlimit() == before


def test_a_higher_limit_is_left_alone():
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        with deep_graphs():
            assert sys.getrecursionlimit() == 100_000
    finally:
        sys.setrecursionlimit(before)

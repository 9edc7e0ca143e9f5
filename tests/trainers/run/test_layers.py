"""`init.skip` and `init.frozen` choose layers by name; the rest of a run does not notice."""

import keras
import numpy as np
import pytest

from flags.errors import UserError
from flags.recipe import Init
from trainers.run.layers import freeze, initialise


def network(classes=3):
    inputs = keras.Input([4])
    x = keras.layers.Dense(5, name="block1_dense")(inputs)
    x = keras.layers.BatchNormalization(name="block1_bn")(x)
    x = keras.layers.Dense(5, name="block2_dense")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="predictions")(x))


@pytest.fixture
def saved(tmp_path):
    """A file with the weights of one network, and the network."""
    keras.utils.set_random_seed(1)
    model = network()
    model.save(tmp_path / "model.keras")
    return str(tmp_path / "model.keras"), model


def test_skipped_layers_keep_their_own_weights(saved):
    path, source = saved
    keras.utils.set_random_seed(2)
    model = network()
    before = model.get_layer("block2_dense").kernel.numpy()
    lines = initialise(model, Init(path=path, skip=("block2*",)))
    np.testing.assert_array_equal(model.get_layer("block2_dense").kernel, before)
    np.testing.assert_array_equal(model.get_layer("block1_dense").kernel, source.get_layer("block1_dense").kernel)
    assert lines[-1] == "kept as initialised: block2_dense"


def test_frozen_layers_are_not_trained():
    model = network()
    freeze(model, Init(frozen=("block*",)))
    assert [v.path for v in model.trainable_variables] == ["predictions/kernel", "predictions/bias"]


@pytest.mark.parametrize(
    "patterns, words",
    [(("blok1*",), "init.frozen=blok1*: no layer of"), (("*",), "init.frozen=*: no trainable weights remain")],
)
def test_patterns_that_make_no_sense_are_refused(patterns, words):
    with pytest.raises(UserError, match=words.replace("*", r"\*")):
        freeze(network(), Init(frozen=patterns))

"""What tests of published weights share: ResNet50 of keras.applications, in every kind of file of Keras."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is loaded

import shutil

import pytest

from tests.parity.published_resnets import by_layer, reference_of_keras, write_keras2


@pytest.fixture
def files_removed(tmp_path):
    """Each weighs up to 240 MB, and pytest would keep those of three sessions."""
    yield
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="module")
def keras_reference():
    return reference_of_keras(50)


@pytest.fixture(scope="module")
def keras_folder(keras_reference, tmp_path_factory):
    """One folder with the reference's weights in every kind of file of Keras; removed at the end, for its size."""
    folder = tmp_path_factory.mktemp("keras")
    write_keras2(folder / "published.h5", by_layer(keras_reference))
    keras_reference.save(folder / "model.h5")
    keras_reference.save_weights(folder / "model.weights.h5")
    keras_reference.save(folder / "model.keras")
    yield folder
    shutil.rmtree(folder)

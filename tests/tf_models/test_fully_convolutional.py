"""A classifier applied to whole images: the window slides, the weights are the model's own."""

import keras
import numpy as np
import pytest

import tf_models

NETWORKS = {  # options, and image sizes with windows of 2 to 4
    "resnet18": ({}, 64),
    "resnet20_cifar": ({}, 16),
    "efficientnet": ({"width": 0.25, "depth": 0.3}, 64),
}


def images(*size):
    return np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")


@pytest.fixture(scope="module", params=NETWORKS)
def both(request):
    options, size = NETWORKS[request.param]
    keras.utils.set_random_seed(0)
    model = tf_models.build_model(request.param, num_classes=5, input_shape=(size, size, 3), **options)
    return model, tf_models.fully_convolutional(model), size


def test_an_image_of_the_models_size_has_one_position_with_its_logits(both):
    model, everywhere, size = both
    scores = everywhere(images(size, size))
    assert scores.shape == (2, 1, 1, 5)
    np.testing.assert_allclose(scores[:, 0, 0], model(images(size, size)), rtol=1e-5, atol=1e-5)


def test_every_position_sees_the_mean_over_its_window_and_no_more(both):
    model, everywhere, size = both
    window = model.get_layer("avg_pool").input.shape[1]
    features = keras.Model(everywhere.input, everywhere.get_layer("avg_pool").input)
    larger = images(size * 3 // 2, size * 2)
    maps, scores = np.asarray(features(larger)), np.asarray(everywhere(larger))
    kernel, bias = (np.asarray(weight) for weight in model.get_layer("predictions").weights)
    rows, columns = maps.shape[1] - window + 1, maps.shape[2] - window + 1
    assert scores.shape == (2, rows, columns, 5) and rows * columns > 3
    for y, x in np.ndindex(rows, columns):
        pooled = maps[:, y : y + window, x : x + window].mean(axis=(1, 2))
        np.testing.assert_allclose(scores[:, y, x], pooled @ kernel + bias, rtol=1e-4, atol=1e-4)


def test_weights_are_shared_and_the_model_stays_as_it_was(both, tmp_path):
    model, everywhere, size = both
    assert [id(weight) for weight in everywhere.weights] == [id(weight) for weight in model.weights]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert tf_models.inspection.multiply_adds(again) == tf_models.inspection.multiply_adds(model)
    np.testing.assert_array_equal(again(images(size, size)), model(images(size, size)))


def test_a_model_for_images_of_any_size_has_no_window():
    model = tf_models.build_model("resnet20_cifar", input_shape=(None, None, 3))
    with pytest.raises(ValueError, match="model='resnet20_cifar': must be built for images of one size"):
        tf_models.fully_convolutional(model)

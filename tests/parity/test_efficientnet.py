"""EfficientNet against keras.applications: the same weights give the same logits, gradients and statistics.

keras.applications normalises inside the model. Without ImageNet weights it merely divides by 255, so it is fed 255
times what our model is fed. It has no argument for dropout and stochastic depth; for training both are off.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is loaded

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_models

CLASSES = 11
BATCH = 4
# B2 at 65 pixels: maps of 33, 17, 9, 5 and 3, so SAME padding is met on odd sizes, and B0 at 64 on even ones.
NETWORKS = {
    "efficientnet_b0": (keras.applications.EfficientNetB0, 64),
    "efficientnet_b2": (keras.applications.EfficientNetB2, 65),
}


@pytest.fixture(scope="module", params=NETWORKS)
def pair(request):
    """Our network and the reference with equal weights, and the images of both."""
    keras.utils.set_random_seed(4)
    build, size = NETWORKS[request.param]
    shape = dict(input_shape=(size, size, 3))
    ours = tf_models.build_model(request.param, num_classes=CLASSES, dropout=0, survival_probability=1, **shape)
    reference = build(weights=None, classes=CLASSES, classifier_activation=None, **shape)
    for layer in reference.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0
    images = tf.random.stateless_normal((BATCH, size, size, 3), seed=[1, 2])
    liven(ours, images)
    copy_by_name(ours, reference)
    yield ours, reference, images
    keras.backend.clear_session()  # layers without a name are numbered on from here, in other tests too


def liven(model, images):
    """Gives batch norm weights that tell on the logits.

    Scale and offset leave 1 and 0; the moving statistics become those of `images`, else the signal dies on its way
    through layers that divide small maps by a variance of 1, and any two networks agree.
    """
    random = np.random.default_rng(0)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.gamma.assign(random.uniform(0.8, 1.2, norm.gamma.shape))
        norm.beta.assign(random.uniform(-0.2, 0.2, norm.beta.shape))
        norm.momentum, momentum = 0.0, norm.momentum
    model(images, training=True)
    for norm in norms:
        norm.momentum = momentum


def weighted(model):
    """The layers with weights, without the reference's normalisation of images."""
    return [layer for layer in model.layers if layer.weights and not isinstance(layer, keras.layers.Normalization)]


def copy_by_name(source, target):
    """Copies the weights of every layer that has any."""
    names = {layer.name for layer in weighted(source)}
    assert names == {layer.name for layer in weighted(target)}
    for name in names:
        target.get_layer(name).set_weights(source.get_layer(name).get_weights())


def by_path(model, values):
    return {weight.path: value for weight, value in zip(model.trainable_weights, values, strict=True)}


def outputs_and_gradients(model, images, training):
    labels = tf.range(BATCH) % CLASSES
    variables = [weight.value for weight in model.trainable_weights]
    with tf.GradientTape() as tape:
        logits = model(images, training=training)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    return logits, by_path(model, tape.gradient(loss, variables))


def distance(ours, reference):
    """Relative difference of two arrays, in the Euclidean norm."""
    return np.linalg.norm(np.subtract(ours, reference)) / (np.linalg.norm(reference) + 1e-12)


def assert_same_gradients(ours, reference, tolerance):
    assert ours.keys() == reference.keys()
    # A gradient that is zero but for rounding (an offset that batch norm takes away again) is held against the largest.
    scale = max(np.linalg.norm(gradient) for gradient in reference.values())
    for path, gradient in reference.items():
        difference = np.linalg.norm(np.subtract(ours[path], gradient))
        assert difference <= tolerance * np.linalg.norm(gradient) + 1e-6 * scale, path


def test_the_layers_with_weights_have_the_reference_s_names_and_shapes(pair):
    ours, reference, _ = pair
    shapes = [{w.path: tuple(w.shape) for layer in weighted(m) for w in layer.weights} for m in (ours, reference)]
    assert shapes[0] == shapes[1]


# Tolerances: these networks amplify float32's rounding. Measured once against the reference built in float64, both its
# float32 version and ours are 2e-5 off in the logits and up to 2e-4 in the worst gradient. Five times that is allowed.
LOGITS, GRADIENTS = 1e-4, 1e-3


def test_logits_are_the_reference_s(pair):
    ours, reference, images = pair
    assert distance(ours(images, training=False), reference(255 * images, training=False)) < LOGITS


def test_gradients_in_inference_mode_are_the_reference_s(pair):
    ours, reference, images = pair
    _, gradients = outputs_and_gradients(ours, images, training=False)
    _, expected = outputs_and_gradients(reference, 255 * images, training=False)
    assert_same_gradients(gradients, expected, tolerance=GRADIENTS)


def test_a_training_step_gives_the_reference_s_logits_gradients_and_statistics(pair):
    ours, reference, images = pair
    before = ours.get_weights()
    try:
        logits, gradients = outputs_and_gradients(ours, images, training=True)
        expected_logits, expected = outputs_and_gradients(reference, 255 * images, training=True)
        moved = {w.path: w.numpy() for w in ours.non_trainable_weights}
        expected_moved = {w.path: w.numpy() for w in reference.non_trainable_weights}
    finally:
        ours.set_weights(before)
        copy_by_name(ours, reference)
    assert distance(logits, expected_logits) < LOGITS
    assert_same_gradients(gradients, expected, tolerance=GRADIENTS)
    for path, value in moved.items():
        assert distance(value, expected_moved[path]) < LOGITS, path


def test_the_comparison_tells_a_shift_of_one_pixel(pair):
    """Which is what symmetric padding at stride 2 amounts to."""
    ours, reference, images = pair
    shifted = tf.roll(images, 1, axis=1)
    assert distance(ours(shifted, training=False), reference(255 * images, training=False)) > 100 * LOGITS

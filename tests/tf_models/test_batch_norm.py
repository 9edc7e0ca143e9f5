"""The fused layer is Keras' BatchNormalization: the same outputs, gradients and statistics, saved alike."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_models.layers import batch_norm
from tf_models.layers.batch_norm import BatchNormalization

CHANNELS = 6
SHAPES = [(4, 5, 3, CHANNELS), (8, 1, 1, CHANNELS), (1, 7, 7, CHANNELS), (1, 1, 1, CHANNELS)]
# Float32 sums over at most 60 numbers, in another order: a few units of the last of 24 bits, times values up to 10.
CLOSE = dict(rtol=1e-4, atol=2e-5)


def pair(shape, **arguments):
    """Our layer and Keras', with equal random weights."""
    random = np.random.default_rng(0)
    layers = BatchNormalization(**arguments), keras.layers.BatchNormalization(**arguments)
    for layer in layers:
        layer.build(shape)
    weights = [random.uniform(0.5, 1.5, w.shape) for w in layers[0].weights]
    for layer in layers:
        layer.set_weights(weights)
    return layers


def run(layer, inputs, training):
    """Outputs, gradients of the inputs and of the trainable weights, and all weights afterwards."""
    upstream = tf.random.stateless_normal(inputs.shape, seed=[5, 6])
    variables = [v.value for v in layer.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=training)
    gradients = tape.gradient(outputs, [inputs, *variables], tf.cast(upstream, outputs.dtype))
    return [outputs, *gradients, *layer.get_weights()]


def images(shape):
    return 2 + 3 * tf.random.stateless_normal(shape, seed=[1, 2])


def assert_same(ours, theirs, inputs, training, **tolerance):
    for a, b in zip(run(ours, inputs, training), run(theirs, inputs, training), strict=True):
        np.testing.assert_allclose(tf.cast(a, tf.float32), tf.cast(b, tf.float32), **(tolerance or CLOSE))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_gradients_and_statistics_are_keras_s(shape, training):
    assert_same(*pair(shape), images(shape), training)


@pytest.mark.parametrize(
    "arguments", [dict(center=False), dict(scale=False), dict(momentum=0.5, epsilon=0.1), dict(epsilon=1e-5)]
)
@pytest.mark.parametrize("training", [True, False])
def test_every_argument_means_what_it_means_in_keras(arguments, training):
    assert_same(*pair(SHAPES[0], **arguments), images(SHAPES[0]), training)


NEEDS_RENORM = pytest.mark.skipif(
    not hasattr(keras.layers.BatchNormalization(), "renorm"), reason="batch renormalisation came with Keras 3.13"
)


@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((9, CHANNELS), {}),
        ((4, 5, CHANNELS), {}),
        ((2, 3, 4, 5, CHANNELS), {}),
        ((4, CHANNELS, 5, 3), dict(axis=1)),
        (SHAPES[0], dict(epsilon=1e-7)),
        pytest.param(SHAPES[0], dict(renorm=True), marks=NEEDS_RENORM),
    ],
)
def test_what_the_fused_kernel_cannot_do_is_left_to_keras(shape, arguments):
    assert_same(*pair(shape, **arguments), images(shape), True)


def fused_epsilons(layer):
    """The epsilon of each fused kernel that a call of `layer` runs."""
    graph = tf.function(lambda x: layer(x, training=True)).get_concrete_function(tf.TensorSpec(SHAPES[0])).graph
    return [op.get_attr("epsilon") for op in graph.get_operations() if op.type == "FusedBatchNormV3"]


@pytest.mark.parametrize(
    ("cpu_only", "epsilon", "used"),
    [
        (True, 1e-3, [1e-3]),
        (True, 1e-5, [1e-5]),
        (True, 1e-7, [1e-7]),
        (False, 1e-3, [1e-3]),
        (False, 1e-5, [1.001e-5]),  # the smallest that cuDNN takes
        (False, 1e-6, []),
    ],
)
def test_the_fused_kernel_gets_an_epsilon_that_the_device_takes(monkeypatch, cpu_only, epsilon, used):
    monkeypatch.setattr(batch_norm, "cpu_only", lambda: cpu_only)
    assert fused_epsilons(BatchNormalization(epsilon=epsilon)) == pytest.approx(used, rel=1e-6)


def test_the_epsilon_of_the_config_is_the_one_that_was_asked_for():
    assert BatchNormalization(epsilon=1e-5).get_config()["epsilon"] == 1e-5


def test_masked_positions_are_left_out_as_in_keras():
    ours, theirs = pair(SHAPES[0])
    mask = tf.random.stateless_uniform(SHAPES[0][:-1], seed=[3, 4]) < 0.5
    for layer in (ours, theirs):
        layer(images(SHAPES[0]), training=True, mask=mask)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


def test_one_number_a_channel_has_variance_zero():
    layer = BatchNormalization(momentum=0.5)
    layer(images((1, 1, 1, CHANNELS)), training=True)
    np.testing.assert_array_equal(layer.moving_variance, np.full(CHANNELS, 0.5))


def test_the_moving_variance_is_the_biased_one():
    inputs = images((2, 1, 1, CHANNELS))
    layer = BatchNormalization(momentum=0)
    layer(inputs, training=True)
    np.testing.assert_allclose(layer.moving_variance, np.var(inputs, axis=(0, 1, 2)), **CLOSE)


def test_a_frozen_layer_uses_its_statistics_and_keeps_them():
    ours, theirs = pair(SHAPES[0])
    ours.trainable = theirs.trainable = False
    before = ours.get_weights()
    np.testing.assert_allclose(
        ours(images(SHAPES[0]), training=True), theirs(images(SHAPES[0]), training=True), **CLOSE
    )
    for a, b in zip(before, ours.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("precision", "bits"), [("mixed_float16", 11), ("mixed_bfloat16", 8)])
@pytest.mark.parametrize("training", [True, False])
def test_half_precision_images_have_float32_statistics(precision, bits, training):
    ours, theirs = pair(SHAPES[0], dtype=precision)
    inputs = tf.cast(images(SHAPES[0]), ours.compute_dtype)
    assert ours(inputs, training=False).dtype == inputs.dtype
    assert {w.dtype for w in ours.weights} == {"float32"}
    # Inputs and outputs are rounded to `bits`; gradients are of outputs up to 10.
    assert_same(ours, theirs, inputs, training, rtol=2.0**-bits, atol=20 * 2.0**-bits)


def test_half_precision_statistics_are_not_rounded_to_half_precision():
    inputs = tf.cast(images((64, 8, 8, CHANNELS)), tf.bfloat16)
    layer = BatchNormalization(momentum=0, dtype="mixed_bfloat16")
    layer(inputs, training=True)
    exact = np.mean(tf.cast(inputs, tf.float64), axis=(0, 1, 2))
    np.testing.assert_allclose(layer.moving_mean, exact, rtol=1e-4)  # bfloat16 would be off by 4e-3


def test_xla_computes_the_same():
    ours, theirs = pair(SHAPES[0])
    compiled = tf.function(lambda x: ours(x, training=True), jit_compile=True)
    np.testing.assert_allclose(compiled(images(SHAPES[0])), theirs(images(SHAPES[0]), training=True), **CLOSE)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


def test_a_graph_of_unknown_batch_and_size_computes_the_same():
    ours, theirs = pair(SHAPES[0])
    graph = tf.function(lambda x: ours(x, training=True), input_signature=[tf.TensorSpec([None, None, None, CHANNELS])])
    np.testing.assert_allclose(graph(images(SHAPES[0])), theirs(images(SHAPES[0]), training=True), **CLOSE)
    np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance, **CLOSE)


def test_weights_have_keras_s_names_and_order():
    ours, theirs = pair(SHAPES[0], name="bn")
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    assert [w.path for w in ours.non_trainable_weights] == ["bn/moving_mean", "bn/moving_variance"]


def test_the_config_is_keras_s():
    ours, theirs = pair(SHAPES[0], name="bn", momentum=0.9, center=False)
    assert ours.get_config() == theirs.get_config()
    assert BatchNormalization.from_config(ours.get_config()).get_config() == ours.get_config()


def test_weight_files_of_the_keras_layer_fit(tmp_path):
    ours, theirs = (keras.Sequential([keras.Input(SHAPES[0][1:]), layer]) for layer in pair(SHAPES[0], name="bn"))
    theirs.layers[0].set_weights([np.full(CHANNELS, float(i)) for i in range(4)])
    theirs.save_weights(tmp_path / "keras.weights.h5")
    ours.load_weights(tmp_path / "keras.weights.h5")
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_replicas_move_their_statistics_without_talking(two_devices):
    """Replica r sees images of mean r; an assignment that had to talk would fail inside `strategy.run`."""
    with two_devices.scope():
        layer = BatchNormalization(momentum=0)
        layer.build((None, 2, 2, CHANNELS))

    @tf.function
    def run():
        def replica():
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            layer(tf.fill([2, 2, 2, CHANNELS], tf.cast(number, tf.float32)), training=True)

        two_devices.run(replica)

    run()
    first, second = two_devices.experimental_local_results(layer.moving_mean.value)
    np.testing.assert_array_equal(first, np.zeros(CHANNELS))
    np.testing.assert_array_equal(second, np.ones(CHANNELS))


def test_a_model_made_under_a_strategy_is_saved_and_exported(two_devices, tmp_path):
    with two_devices.scope():
        model = keras.Sequential([keras.Input(SHAPES[0][1:]), BatchNormalization(name="bn")])
    statistics = [np.full(CHANNELS, float(i + 1)) for i in range(4)]
    model.set_weights(statistics)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(loaded.get_weights(), statistics, strict=True):
        np.testing.assert_array_equal(a, b)
    loaded.export(tmp_path / "saved_model", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved_model")
    np.testing.assert_allclose(served.serve(images(SHAPES[0])), loaded(images(SHAPES[0])), **CLOSE)

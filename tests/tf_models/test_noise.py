"""Masks depend on seed, layer and the example's place in the global batch, and on nothing else."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_models.layers.noise import Dropout, draws

SEED = tf.constant([7, 100], tf.int64)  # run, step
NOISE_SHAPES = [None, (None, 1, 1, 1)]


def dropped(layer, inputs, seed=SEED, first_example=0):
    with draws(seed, first_example):
        return layer(inputs, training=True)


def ones(*shape):
    return tf.ones(shape or (8, 3, 5, 7))  # 105 elements an example: no multiple of four


@pytest.mark.parametrize("noise_shape", NOISE_SHAPES)
@pytest.mark.parametrize("parts", [2, 4, 8])
def test_the_parts_of_a_batch_draw_what_the_whole_draws(noise_shape, parts):
    layer = Dropout(0.4, noise_shape=noise_shape, name="drop")
    size = 8 // parts
    pieces = [dropped(layer, ones(size, 3, 5, 7), first_example=i * size) for i in range(parts)]
    np.testing.assert_array_equal(tf.concat(pieces, 0), dropped(layer, ones()))


def test_parts_draw_what_the_whole_draws_in_a_loop_over_micro_batches():
    layer = Dropout(0.4, name="drop")

    @tf.function
    def loop():
        parts = tf.TensorArray(tf.float32, 4)
        for index in tf.range(4):
            parts = parts.write(index, dropped(layer, ones(2, 3, 5, 7), first_example=2 * index))
        return parts.concat()

    np.testing.assert_array_equal(loop(), dropped(layer, ones()))


def test_replicas_draw_what_one_device_draws(two_devices):
    layer = Dropout(0.4, name="drop")

    @tf.function
    def run():
        def replica():
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            return dropped(layer, ones(4, 3, 5, 7), first_example=4 * number)

        return two_devices.experimental_local_results(two_devices.run(replica))

    np.testing.assert_array_equal(tf.concat(run(), 0), dropped(layer, ones()))


def test_a_mask_shared_by_all_examples_is_the_same_in_every_part():
    layer = Dropout(0.4, noise_shape=(1, 3, 5, 7), name="drop")
    np.testing.assert_array_equal(dropped(layer, ones(4, 3, 5, 7), first_example=4), dropped(layer, ones())[4:])


@pytest.mark.parametrize("noise_shape", NOISE_SHAPES)
def test_the_same_seed_draws_the_same_mask(noise_shape):
    layers = [Dropout(0.4, noise_shape=noise_shape, name="drop") for _ in range(2)]
    np.testing.assert_array_equal(*(dropped(layer, ones(64, 3, 5, 7)) for layer in layers))


@pytest.mark.parametrize("seed", [[7, 101], [8, 100], [100, 7]])
def test_another_seed_draws_another_mask(seed):
    layer = Dropout(0.5, name="drop")
    other = dropped(layer, ones(), seed=tf.constant(seed, tf.int64))
    assert_independent(dropped(layer, ones()), other)


def test_another_layer_draws_another_mask():
    assert_independent(*(dropped(Dropout(0.5, name=name), ones()) for name in ("block2b_drop", "block3b_drop")))


def test_neighbouring_examples_draw_other_masks():
    mask = dropped(Dropout(0.5, name="drop"), ones())
    assert_independent(mask[:-1], mask[1:])


def assert_independent(a, b):
    """Two masks at rate 0.5 agree in half of their n places, give or take five times 0.5 / sqrt(n)."""
    agreement = np.mean(np.asarray(a) == np.asarray(b))
    assert abs(agreement - 0.5) < 2.5 / np.sqrt(np.size(a))


@pytest.mark.parametrize("rate", [0.0125, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("noise_shape", [None, (None, 1)])
def test_the_rate_is_kept_and_the_mean_preserved(rate, noise_shape):
    examples = 4000
    kept = dropped(Dropout(rate, noise_shape=noise_shape, name="drop"), ones(examples, 5)).numpy()
    count = examples * (5 if noise_shape is None else 1)
    assert abs(np.mean(kept == 0) - rate) < 5 * np.sqrt(rate * (1 - rate) / count)
    np.testing.assert_allclose(kept[kept > 0], 1 / (1 - rate), rtol=1e-6)


def test_stochastic_depth_drops_whole_examples():
    outputs = dropped(Dropout(0.5, noise_shape=(None, 1, 1, 1), name="drop"), ones(64, 3, 5, 7)).numpy()
    per_example = outputs.reshape(64, -1)
    assert (per_example == per_example[:, :1]).all()
    assert 0 < np.count_nonzero(per_example[:, 0]) < 64


def test_the_gradient_passes_where_the_mask_does():
    layer, inputs = Dropout(0.4, name="drop"), ones()
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = dropped(layer, inputs)
    np.testing.assert_array_equal(tape.gradient(outputs, inputs), outputs)


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_a_graph_draws_what_eager_execution_draws(dtype):
    layer = Dropout(0.4, name="drop")
    seed = tf.constant([7, 100], dtype)
    signature = [tf.TensorSpec([None, None, None, 7]), tf.TensorSpec([2], dtype), tf.TensorSpec([], tf.int64)]
    graph = tf.function(lambda x, seed, first: dropped(layer, x, seed, first), input_signature=signature)
    expected = dropped(layer, ones(), seed, 5)
    np.testing.assert_array_equal(graph(ones(), seed, tf.constant(5, tf.int64)), expected)


@pytest.mark.parametrize("noise_shape", NOISE_SHAPES)
def test_xla_draws_what_eager_execution_draws(noise_shape):
    layer = Dropout(0.4, noise_shape=noise_shape, name="drop")
    compiled = tf.function(lambda x, seed: dropped(layer, x, seed, 3), jit_compile=True)
    np.testing.assert_array_equal(compiled(ones(), SEED), dropped(layer, ones(), SEED, 3))


def test_half_precision_draws_the_mask_of_float32():
    masks = [
        dropped(Dropout(0.4, name="drop", dtype=dtype), tf.cast(ones(), dtype)) == 0
        for dtype in ("float32", "bfloat16")
    ]
    np.testing.assert_array_equal(*masks)


def test_inference_changes_nothing():
    layer = Dropout(0.4, name="drop")
    with draws(SEED):
        np.testing.assert_array_equal(layer(ones(), training=False), ones())


@pytest.mark.parametrize(("rate", "expected"), [(0, 1.0), (1, 0.0)])
def test_rate_0_keeps_and_rate_1_drops_everything(rate, expected):
    np.testing.assert_array_equal(dropped(Dropout(rate, name="drop"), ones()), np.full((8, 3, 5, 7), expected))


def test_outside_a_scope_it_draws_as_keras_does():
    ours, theirs = (kind(0.4, seed=3) for kind in (Dropout, keras.layers.Dropout))
    for _ in range(2):
        np.testing.assert_array_equal(ours(ones(), training=True), theirs(ones(), training=True))


def test_the_scope_ends_where_it_ends():
    layer = Dropout(0.5, seed=3)
    with pytest.raises(RuntimeError, match="inside"), draws(SEED):
        raise RuntimeError("inside")
    assert_independent(layer(ones(), training=True), layer(ones(), training=True))


def test_it_has_no_weights_and_keras_s_config():
    layer = Dropout(0.4, noise_shape=(None, 1), seed=3, name="drop")
    assert layer.weights == []
    assert layer.get_config() == keras.layers.Dropout(0.4, noise_shape=(None, 1), seed=3, name="drop").get_config()

"""What the Transformer promises besides its numbers (`tests/parity/test_transformer.py` has those)."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_models
from tf_models.layers.attention import CrossAttention, SelfAttention
from tf_models.layers.positions import PositionedEmbedding, sinusoids
from tf_models.transformer import Network

SYMBOLS = 13
SIZES = {"num_classes": SYMBOLS, "d_model": 16, "layers": 2, "heads": 4}


def build(**options):
    """A small model none of whose biases and gains is at its start."""
    model = tf_models.build_model("transformer", **SIZES | options)
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight + 0.1 * random.normal(size=weight.shape))
    return model


@pytest.fixture(scope="module")
def model():
    return build()


def symbols(batch, time, seed=0):
    return np.random.default_rng(seed).integers(1, SYMBOLS, (batch, time)).astype(np.int32)


def padded(texts, before=0, after=0):
    return np.pad(texts, [[0, 0], [before, after]])


@pytest.mark.parametrize("d_model, vocabulary", [(8, 7), (16, 7), (48, 100), (512, 10_000)])
@pytest.mark.parametrize("shared_embeddings, matrices", [("none", 3), ("decoder", 2)])
def test_parameters_are_those_of_the_formula(d_model, vocabulary, shared_embeddings, matrices):
    model = tf_models.build_model(
        "transformer", num_classes=vocabulary, d_model=d_model, shared_embeddings=shared_embeddings
    )
    assert model.count_params() == 168 * d_model**2 + 192 * d_model + matrices * d_model * vocabulary


def test_the_middle_of_feed_forward_layers_is_as_wide_as_asked():
    wide, narrow = (build(feed_forward=width).count_params() for width in (21, 20))
    assert wide - narrow == 4 * (2 * 16 + 1)  # two layers on either side: a column, a bias, a row


def test_a_later_symbol_of_the_target_changes_no_earlier_logit(model):
    source, target = symbols(2, 5), symbols(2, 6, seed=1)
    changed = target.copy()
    changed[:, 4] = target[:, 4] % (SYMBOLS - 1) + 1
    before, after = (model({"source": source, "target": each}).numpy() for each in (target, changed))
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert np.all(np.any(before[:, 4:] != after[:, 4:], axis=-1))


def test_every_symbol_of_the_source_changes_every_logit(model):
    source, target = symbols(1, 4), symbols(1, 3, seed=1)
    logits = model({"source": source, "target": target}).numpy()
    for place in range(4):
        changed = source.copy()
        changed[:, place] = source[:, place] % (SYMBOLS - 1) + 1
        assert np.all(np.any(model({"source": changed, "target": target}) != logits, axis=-1))


def test_padding_after_the_texts_changes_no_logit(model):
    source, target = symbols(2, 5), symbols(2, 4, seed=1)
    logits = model({"source": source, "target": target})
    more = model({"source": padded(source, after=3), "target": padded(target, after=2)})
    np.testing.assert_allclose(more[:, :4], logits, atol=2e-6)


def test_a_row_of_nothing_but_padding_is_finite_and_changes_no_other(model):
    source, target = symbols(2, 5), symbols(2, 4, seed=1)
    empty = np.zeros_like(source[:1])
    logits = model({"source": np.concatenate([source, empty]), "target": np.concatenate([target, empty[:, :4]])})
    assert np.all(np.isfinite(logits))
    np.testing.assert_allclose(logits[:2], model({"source": source, "target": target}), atol=2e-6)


def test_one_position_after_another_gives_the_logits_of_all_at_once(model):
    network = Network(model.layers)
    source = padded(symbols(2, 4), after=1)
    texts = np.stack([symbols(2, 6, seed) for seed in (1, 2, 3)], axis=1)  # three of each source
    memory, is_text = network.encode(source)
    caches, steps = network.begin(memory, texts=3), []
    for position in range(6):
        logits, caches = network.step(texts[:, :, position], tf.constant(position), caches, is_text)
        steps.append(logits)
    for text in range(3):
        wanted = model({"source": source, "target": texts[:, text]})
        np.testing.assert_allclose(tf.stack(steps, 2)[:, text], wanted, atol=2e-6)


def test_a_saved_model_with_an_output_matrix_of_its_own_comes_back(tmp_path):
    model = build(shared_embeddings="none")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    inputs = {"source": symbols(2, 5), "target": symbols(2, 4, seed=1)}
    np.testing.assert_array_equal(loaded(inputs), model(inputs))


@pytest.mark.parametrize("policy", ["mixed_float16"])
def test_in_mixed_precision_logits_are_float32_and_near_those_of_float32(model, policy):
    keras.config.set_dtype_policy(policy)
    try:
        mixed = tf_models.build_model("transformer", **SIZES)
    finally:
        keras.config.set_dtype_policy("float32")
    mixed.set_weights(model.get_weights())
    inputs = {"source": padded(symbols(3, 5), after=1), "target": symbols(3, 4, seed=1)}
    inputs["source"][2] = 0
    logits = mixed(inputs)
    assert logits.dtype == tf.float32
    np.testing.assert_allclose(logits, model(inputs), atol=0.1)


def test_gradients_are_dense_and_those_of_padding_are_zero(model):
    source, target = padded(symbols(2, 4), after=1), padded(symbols(2, 3, seed=1), after=2)
    with tf.GradientTape() as tape:
        logits = model({"source": source, "target": target}, training=True)
        total = tf.reduce_sum(tf.nn.log_softmax(logits)[:, :3, 1])
    gradients = tape.gradient(total, [weight.value for weight in model.trainable_weights])
    assert all(isinstance(gradient, tf.Tensor) for gradient in gradients)
    paths = [weight.path for weight in model.trainable_weights]
    of_source = gradients[paths.index("source_embedding/embeddings")]
    np.testing.assert_array_equal(of_source[0], np.zeros(16))
    assert np.any(of_source[1:])


def test_a_step_of_training_is_traced_once_for_batches_of_one_shape_and_the_loss_falls():
    keras.utils.set_random_seed(0)
    model = tf_models.build_model("transformer", **SIZES)
    optimizer = keras.optimizers.Adam(1e-2)
    optimizer.build(model.trainable_weights)

    @tf.function
    def step(source, target, labels):
        with tf.GradientTape() as tape:
            logits = model({"source": source, "target": target}, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
        optimizer.apply(gradients)
        return loss

    source = symbols(8, 5)
    target = padded(source, before=1)[:, :-1]  # the text to learn is the source itself
    losses = [float(step(*map(tf.constant, (source, target, source)))) for _ in range(20)]
    assert step.experimental_get_tracing_count() == 1
    assert losses[0] == pytest.approx(np.log(SYMBOLS), abs=1)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("d_model", [64, 128])
def test_weights_start_as_in_fairseq(d_model):
    keras.utils.set_random_seed(1)
    model = tf_models.build_model("transformer", num_classes=500, d_model=d_model, layers=1, shared_embeddings="none")
    xavier = {  # kind of kernel -> its limit
        "input_kernel": np.sqrt(3 / d_model / 2),
        "query_kernel": np.sqrt(3 / d_model / 2),
        "memory_kernel": np.sqrt(3 / d_model / 2),
        "output_kernel": np.sqrt(3 / d_model),
        "kernel": np.sqrt(6 / (5 * d_model)),
    }
    for weight in model.weights:
        values, kind = weight.numpy(), weight.path.rpartition("/")[2]
        if kind in xavier:
            assert np.abs(values).max() == pytest.approx(xavier[kind], rel=0.02)
            assert np.abs(values).max() <= xavier[kind]
            assert values.std() == pytest.approx(xavier[kind] / np.sqrt(3), rel=0.05)
        elif kind == "embeddings":
            np.testing.assert_array_equal(values[0], np.zeros(d_model))
            assert values[1:].std() == pytest.approx(d_model**-0.5, rel=0.05)
        else:
            np.testing.assert_array_equal(values, float(kind == "gamma"))


def test_places_are_sines_and_cosines_of_falling_frequency():
    got = sinusoids(tf.constant([0, 1, 77]), 8, tf.float64).numpy()
    for row, position in zip(got, (0, 1, 77)):
        for i, frequency in enumerate([1, 10_000 ** (-1 / 3), 10_000 ** (-2 / 3), 1e-4]):
            assert row[i] == pytest.approx(np.sin(position * frequency), abs=1e-12)
            assert row[4 + i] == pytest.approx(np.cos(position * frequency), abs=1e-12)


def test_an_embedding_is_scaled_and_placed_but_scores_are_of_the_plain_vectors():
    layer = PositionedEmbedding(5, 8, dtype="float64")
    layer.build()
    vectors = layer.embeddings.numpy()
    places = sinusoids(tf.range(3), 8, tf.float64)
    np.testing.assert_allclose(layer(tf.constant([[4, 1, 0]]))[0], vectors[[4, 1, 0]] * np.sqrt(8) + places)
    one = np.ones((1, 1, 8))
    np.testing.assert_allclose(layer(one, reverse=True)[0, 0], vectors.sum(1))


def test_self_attention_may_be_both_causal_and_blind_to_padding():
    layer = SelfAttention(2, causal=True)
    x = np.random.default_rng(0).normal(size=(1, 4, 8)).astype(np.float32)
    visible = tf.constant([[True, False, True, True]])
    without = np.delete(x, 1, axis=1)
    np.testing.assert_allclose(np.delete(layer(x, visible), 1, axis=1), layer(without), atol=1e-6)


def test_attention_to_a_single_row_is_that_rows_value():
    layer = CrossAttention(2, dtype="float64")
    x, memory = np.random.default_rng(0).normal(size=(2, 1, 3, 8))
    mixed = layer(x, memory, tf.constant([[False, True, False]]))
    value = memory[0, 1] @ layer.memory_kernel.numpy()[:, 8:]
    np.testing.assert_allclose(mixed[0], np.tile(value @ layer.output_kernel.numpy(), (3, 1)))


@pytest.mark.parametrize(
    "options, said",
    [
        ({"d_model": 18}, "d_model=18: must be a multiple of heads=4"),
        ({"d_model": 5, "heads": 5}, "d_model=5: must be even, and 4 or more"),
        ({"feed_forward": 0}, "feed_forward=0: must be an integer of 1 or more"),
        ({"num_classes": 1}, "num_classes=1: must be an integer of 2 or more"),
        ({"shared_embeddings": "all"}, "shared_embeddings='all': must be one of 'decoder', 'none'"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(options, said):
    with pytest.raises(ValueError, match=said):
        tf_models.build_model("transformer", **SIZES | options)

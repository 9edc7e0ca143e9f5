"""The loop on a small network without batch norm, whose steps can be compared closely, and on EfficientNet."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_models
from flags.training import StreamedTrain
from tf_models.layers.batch_norm import BatchNormalization
from tf_models.layers.noise import Dropout
from trainers.loop.evaluation import EvalLoop
from trainers.loop.state import TrainState
from trainers.loop.training import TrainLoop
from trainers.optimizers.decay import decayed
from trainers.optimizers.loss_scale import LossScale
from trainers.optimizers.rmsprop import RMSPropTF1
from trainers.optimizers.schedules import Schedule
from trainers.optimizers.weight_average import WeightAverage

BATCH = 8
CLASSES = 3
RECIPE = dict(global_batch=BATCH, steps=100, eval_every=10, checkpoint_every=10)


class Task:
    """A classification without a pipeline."""

    metric_names = ("loss", "top1")

    def losses(self, model, batch, training):
        logits = model(batch["image"], training=training)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["label"], logits)
        return losses, {"top1": tf.cast(tf.math.in_top_k(batch["label"], logits, 1), tf.float32)}


def small_network():
    inputs = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    x = Dropout(0.3, name="drop")(keras.layers.Flatten()(x))
    return keras.Model(inputs, keras.layers.Dense(CLASSES, name="predictions")(x))


def batches(count=50, size=6):
    """`count` global batches: dicts of arrays."""
    random = np.random.default_rng(1)
    return {
        "image": random.normal(size=(count * BATCH, size, size, 3)).astype("float32"),
        "label": random.integers(0, CLASSES, count * BATCH),
    }


def make(strategy, build=small_network, weight_decay=0.0, average=False, loss_scale=None, lr=0.05, **recipe):
    """A loop and its state, with the same initial weights whatever the strategy."""
    keras.utils.set_random_seed(7)
    with strategy.scope():
        model = build()
        optimizer = RMSPropTF1(lr)
        optimizer.build(model.trainable_variables)
        state = TrainState(
            model=model,
            optimizer=optimizer,
            schedule=Schedule(),
            average=WeightAverage([*model.trainable_weights, *model.non_trainable_weights], 0.9) if average else None,
            loss_scale=loss_scale() if loss_scale else None,
        )
    train = StreamedTrain(**(RECIPE | recipe))
    return TrainLoop(
        strategy=strategy, task=Task(), state=state, recipe=train, weight_decay=weight_decay, seed=3
    ), state


def feed(strategy, data):
    def per_replica(context):
        size = context.get_per_replica_batch_size(BATCH)
        return tf.data.Dataset.from_tensor_slices(data).batch(size, drop_remainder=True)

    return iter(strategy.distribute_datasets_from_function(per_replica))


def one_device():
    return tf.distribute.OneDeviceStrategy("cpu:0")


def weights_after(strategy, steps=5, data=None, **options):
    loop, state = make(strategy, **options)
    numbers = loop.run(feed(strategy, data or batches()), steps)
    return [w.numpy() for w in state.model.weights], numbers, state


# A sum over eight examples in another order: a few roundings of float32, amplified by five steps.
CLOSE = dict(rtol=1e-4, atol=2e-6)


def assert_close(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


def test_two_replicas_end_in_the_weights_of_one(two_replicas):
    one, numbers_of_one, _ = weights_after(one_device(), weight_decay=0.1)
    two, numbers_of_two, _ = weights_after(two_replicas, weight_decay=0.1)
    assert_close(one, two)
    for name in ("loss", "top1", "gradient_norm", "parameter_norm", "l2"):
        assert numbers_of_two[name] == pytest.approx(numbers_of_one[name], rel=1e-4)


@pytest.mark.parametrize("micro_batches", [2, 8])
def test_micro_batches_end_in_the_weights_of_the_whole_batch(micro_batches):
    whole, *_ = weights_after(one_device())
    parts, *_ = weights_after(one_device(), micro_batches=micro_batches)
    assert_close(whole, parts)


def tiny_efficientnet():
    return tf_models.build_model(
        "efficientnet", num_classes=CLASSES, input_shape=(32, 32, 3), width=0.1, depth=0.1, survival_probability=0.5
    )


def test_replicas_with_equal_statistics_train_efficientnet_like_one(two_replicas):
    """Batch norm normalises by the replica's own images; with the same images on both, that is the whole batch's."""
    data = batches(1, size=32)
    for values in data.values():
        shaped = values.reshape(-1, 2, BATCH // 2, *values.shape[1:])
        shaped[:, 1] = shaped[:, 0]
    before = [w.numpy() for w in make(one_device(), build=tiny_efficientnet)[1].model.weights]
    one, *_ = weights_after(one_device(), steps=1, data=data, build=tiny_efficientnet)
    two, *_ = weights_after(two_replicas, steps=1, data=data, build=tiny_efficientnet)
    moved = np.concatenate([(a - b).ravel() for a, b in zip(one, before, strict=True)])
    apart = np.concatenate([(a - b).ravel() for a, b in zip(one, two, strict=True)])
    # Roundings are divided by the small spread of a few values, a dozen times; other masks or images move 100 %.
    assert np.linalg.norm(apart) < 1e-3 * np.linalg.norm(moved)


def test_replicas_hold_the_same_statistics_after_every_step(two_replicas):
    loop, state = make(two_replicas, build=tiny_efficientnet, average=True)
    loop.run(feed(two_replicas, batches(3, size=32)), 1)
    assert len(state.statistics) > 10
    for variable in [*(v.value for v in state.statistics), *state.average.variables]:
        first, second = two_replicas.experimental_local_results(variable)
        np.testing.assert_array_equal(first.numpy(), second.numpy())


def test_moving_statistics_are_the_mean_over_replicas(two_replicas):
    data = batches(1, size=32)
    loop, state = make(two_replicas, build=tiny_efficientnet)
    loop.run(feed(two_replicas, data), 1)
    halves = []
    for half in (slice(0, BATCH // 2), slice(BATCH // 2, BATCH)):
        keras.utils.set_random_seed(7)
        model = tiny_efficientnet()
        model(data["image"][half], training=True)
        halves.append(model.get_layer("stem_bn").moving_variance.numpy())
    ours = state.model.get_layer("stem_bn").moving_variance.numpy()
    np.testing.assert_allclose(ours, (halves[0] + halves[1]) / 2, rtol=1e-5)


def test_calls_of_different_lengths_are_traced_once():
    strategy = one_device()
    loop, _ = make(strategy, average=True)
    data = feed(strategy, batches())
    for steps in (1, 5, 2, 7):
        loop.run(data, steps)
    assert loop.traces == 1


def test_the_cut_into_calls_changes_nothing():
    strategy = one_device()
    whole, _, _ = weights_after(strategy, steps=6, average=True)
    loop, state = make(strategy, average=True)
    data = feed(strategy, batches())
    for steps in (1, 3, 2):
        loop.run(data, steps)
    for a, b in zip(whole, state.model.weights, strict=True):
        np.testing.assert_array_equal(a, b.numpy())


def test_weight_decay_equals_the_l2_term_in_the_loss():
    strategy, decay = one_device(), 0.05
    loop, state = make(strategy, weight_decay=decay)
    reference_loop, reference = make(strategy)

    class WithL2(Task):
        def losses(self, model, batch, training):
            losses, metrics = super().losses(model, batch, training)
            l2 = tf.add_n([tf.reduce_sum(v**2) / 2 for v in model.trainable_variables])
            return losses + decay * l2, metrics

    reference_loop._task = WithL2()
    loop.run(feed(strategy, batches()), 4)
    reference_loop.run(feed(strategy, batches()), 4)
    assert_close([w.numpy() for w in state.model.weights], [w.numpy() for w in reference.model.weights])


def decayed_weights(rule):
    model = tiny_efficientnet()
    return {
        "/".join(v.path.split("/")[-2:]): is_in for v, is_in in zip(model.trainable_variables, decayed(model, rule))
    }


def test_weight_decay_outside_batch_norm_takes_biases():
    kinds = decayed_weights("outside_batch_norm")
    assert {name for name, decays in kinds.items() if not decays} == {name for name in kinds if "bn/" in name}
    assert kinds["predictions/bias"] and kinds["block2a_se_reduce/bias"]


def test_weight_decay_of_kernels_leaves_biases_and_batch_norm_alone():
    kinds = decayed_weights("kernels")
    assert {name for name, decays in kinds.items() if decays} == {name for name in kinds if name.endswith("kernel")}
    assert kinds["block2a_dwconv/kernel"] and not kinds["predictions/bias"]


def test_weight_decay_of_all_leaves_nothing_out():
    assert all(decayed_weights("all").values())


def test_batch_norm_averages_over_no_more_examples_than_asked():
    # Two halves, each normalised by its own statistics, as on two replicas of four examples.
    def normalised_network():
        inputs = keras.Input((6, 6, 3))
        x = BatchNormalization(name="bn")(keras.layers.Conv2D(4, 3, name="conv")(inputs))
        return keras.Model(inputs, keras.layers.Dense(CLASSES)(keras.layers.Flatten()(x)))

    whole, *_ = weights_after(one_device(), build=normalised_network)
    halves, *_ = weights_after(one_device(), build=normalised_network, batch_norm_batch=BATCH // 2)
    split, *_ = weights_after(one_device(), build=normalised_network, micro_batches=2)
    assert all(np.array_equal(a, b) for a, b in zip(halves, split))
    assert not all(np.allclose(a, b, **CLOSE) for a, b in zip(whole, halves))


def test_the_rate_that_is_reported_is_the_last_one_used():
    class Falling(Schedule):
        def __call__(self, step):
            return 0.1 / (1 + tf.cast(step, tf.float32))

        def get_config(self):
            return {}

    loop, _ = make(one_device(), lr=Falling())
    assert loop.run(feed(one_device(), batches()), 4)["lr"] == pytest.approx(0.1 / 4)


def test_clipping_bounds_the_whole_gradient():
    strategy = one_device()
    data = batches(1)
    loop, state = make(strategy, clip_norm=1e-3)
    before = [v.numpy() for v in state.model.trainable_variables]
    numbers = loop.run(feed(strategy, data), 1)
    assert numbers["gradient_norm"] > 1e-3
    # The first step of RMSProp is lr * g / sqrt(0.9 + 0.1 * g^2 + eps), hence nearly lr / sqrt(0.901) * g.
    moved = np.sqrt(sum(np.sum((v.numpy() - b) ** 2) for v, b in zip(state.model.trainable_variables, before)))
    assert moved == pytest.approx(0.05 * 1e-3 / np.sqrt(0.901), rel=1e-3)


@pytest.mark.parametrize("position", [0, 3])
def test_a_loss_that_is_not_finite_names_its_step(position):
    strategy = one_device()
    data = batches()
    data["image"][position * BATCH] = np.nan
    loop, _ = make(strategy)
    assert loop.run(feed(strategy, data), 6)["first_nonfinite"] == position


def test_a_healthy_call_names_no_step():
    assert weights_after(one_device())[1]["first_nonfinite"] == -1


def test_an_overflow_under_loss_scaling_skips_the_update_and_lowers_the_scale():
    strategy = one_device()
    loop, state = make(strategy, loss_scale=lambda: LossScale(initial=2.0**126))
    before = [w.numpy() for w in state.model.weights]
    data = batches()
    data["image"] *= 1000
    numbers = loop.run(feed(strategy, data), 1)
    assert numbers["first_nonfinite"] == -1 and int(state.step.numpy()) == 1
    for a, b in zip(before, state.model.weights, strict=True):
        np.testing.assert_array_equal(a, b.numpy())
    assert float(state.loss_scale.variables[0]) == 2.0**125


def test_loss_scaling_changes_no_update():
    plain, *_ = weights_after(one_device())
    scaled, *_ = weights_after(one_device(), loss_scale=LossScale)
    assert_close(plain, scaled)


def test_a_stop_asked_on_one_replica_is_seen_in_the_numbers(two_replicas):
    loop, _ = make(two_replicas)
    data = feed(two_replicas, batches())
    assert loop.run(data, 1, stop=False)["stops"] == 0
    assert loop.run(data, 1, stop=True)["stops"] == 2


def test_evaluation_counts_each_example_by_its_weight(two_replicas):
    data = batches(2)
    data["weight"] = np.r_[np.ones(11), np.zeros(5)].astype("float32")
    with two_replicas.scope():
        model = small_network()

    def measure(batch):
        losses, metrics = Task().losses(model, batch, training=False)
        return metrics | {"loss": losses}

    loop = EvalLoop(strategy=two_replicas, measure=measure, names=Task.metric_names)
    numbers = loop.run(feed(two_replicas, data), 2)
    logits = model(data["image"][:11])
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(data["label"][:11], logits)
    assert numbers["examples"] == 11
    assert numbers["loss"] == pytest.approx(float(tf.reduce_mean(expected)), rel=1e-5)
    assert numbers["top1"] == pytest.approx(np.mean(np.argmax(logits, 1) == data["label"][:11]))


def test_xla_takes_the_same_steps():
    strategy = one_device()
    plain, *_ = weights_after(strategy, steps=3)
    keras.utils.set_random_seed(7)
    loop, state = make(strategy)
    loop._gradients = tf.function(loop._forward_backward, jit_compile=True)
    loop.run(feed(strategy, batches()), 3)
    assert_close(plain, [w.numpy() for w in state.model.weights])

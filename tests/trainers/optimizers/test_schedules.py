"""EfficientNet's schedule against exact arithmetic and the recipe's numbers, and what all schedules have in common."""

import fractions
import json
import math

import keras
import pytest
import tensorflow as tf

from flags.schedules import DynamicDrop, Exponential, InverseSquareRoot, Stepwise, WarmUp, WarmUpInverseSquareRoot
from trainers.optimizers import build_schedule

IMAGENET = 1_281_167
RECIPE = Exponential(lr_per_256=0.016, decay_rate=0.97, decay_epochs=2.4, warmup_epochs=5)


def imagenet_schedule(global_batch, recipe=RECIPE):
    return build_schedule(
        recipe, global_batch=global_batch, steps_per_epoch=IMAGENET / global_batch, total_steps=10_000
    )


def test_warm_up_is_a_straight_line_from_zero():
    schedule = imagenet_schedule(4096)
    assert schedule.warmup_steps == 1563  # 5 * 312.8, rounded down
    assert float(schedule(0)) == 0
    for step in (1, 100, 1562):
        assert float(schedule(step)) == pytest.approx(0.256 * step / 1563, rel=1e-6)


def test_a_warm_up_of_a_whole_number_of_steps_is_not_cut_by_rounding():
    recipe = Exponential(lr_per_256=1, decay_rate=0.5, decay_epochs=2, warmup_epochs=0.29)
    assert build_schedule(recipe, global_batch=256, steps_per_epoch=100, total_steps=10_000).warmup_steps == 29


def test_rate_jumps_to_the_decayed_value_where_the_warm_up_ends():
    assert float(imagenet_schedule(4096)(1563)) == pytest.approx(0.256 * 0.97**2, rel=1e-6)
    assert float(imagenet_schedule(4096)(1563)) == pytest.approx(0.2409, abs=5e-5)


@pytest.mark.parametrize("global_batch, steps", [(4096, 109_474), (2048, 218_949)])
def test_last_rate_of_350_epochs_is_that_of_the_official_code(global_batch, steps):
    assert int(350 * IMAGENET / global_batch) == steps
    lr = 0.016 * global_batch / 256
    for step in (steps - 1, steps):
        assert float(imagenet_schedule(global_batch)(step)) == pytest.approx(lr * 0.97**145, rel=1e-6)


def test_last_rate_at_batch_4096_is_the_one_the_recipe_states():
    assert float(imagenet_schedule(4096)(109_474)) == pytest.approx(0.00309, abs=5e-6)


@pytest.mark.parametrize("examples, global_batch", [(IMAGENET, 4096), (IMAGENET, 2048), (4000, 64), (312 * 4096, 4096)])
def test_every_staircase_boundary_falls_on_the_exact_step(examples, global_batch):
    recipe = Exponential(lr_per_256=1, decay_rate=0.5, decay_epochs=2.4, warmup_epochs=0)
    schedule = build_schedule(
        recipe, global_batch=global_batch, steps_per_epoch=examples / global_batch, total_steps=10_000
    )
    decay_steps = fractions.Fraction(12, 5) * fractions.Fraction(examples, global_batch)
    boundaries = [math.ceil(decays * decay_steps) for decays in range(1, 120)]
    for decays, step in enumerate(boundaries, start=1):
        assert float(schedule(step - 1)) == schedule.lr * 0.5 ** (decays - 1)
        assert float(schedule(step)) == schedule.lr * 0.5**decays
    marked = schedule.marked_steps(boundaries[-1] + 1)
    assert [step for step, *_ in marked] == [0, *boundaries]


def test_staircase_equals_tensorflow_1s_exponential_decay():
    schedule = imagenet_schedule(2048)
    decay_steps = IMAGENET / 2048 * 2.4
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        step = tf.compat.v1.placeholder(tf.int64, [])
        rate = tf.compat.v1.train.exponential_decay(0.128, step, decay_steps, 0.97, staircase=True)
        expected = {at: session.run(rate, {step: at}) for at in range(4000, 218_949, 20_011)}
    for at, value in expected.items():
        assert float(schedule(at)) == pytest.approx(value, rel=1e-5)  # TensorFlow 1 raises 0.97 in float32


def test_without_staircase_the_rate_falls_at_every_step():
    recipe = Exponential(lr_per_256=1, decay_rate=0.5, decay_epochs=2, warmup_epochs=0, staircase=False)
    schedule = build_schedule(recipe, global_batch=256, steps_per_epoch=10, total_steps=10_000)
    for step in (0, 1, 13, 40):
        assert float(schedule(step)) == pytest.approx(0.5 ** (step / 20))


def test_the_rate_grows_with_the_global_batch():
    assert imagenet_schedule(4096).lr == pytest.approx(0.256)
    assert imagenet_schedule(2048).lr == pytest.approx(0.128)
    assert imagenet_schedule(64).lr == pytest.approx(0.004)


def test_marked_steps_are_start_end_of_warm_up_each_decay_after_it_and_last():
    recipe = Exponential(lr_per_256=1, decay_rate=0.9, decay_epochs=2, warmup_epochs=5)
    schedule = build_schedule(recipe, global_batch=256, steps_per_epoch=10, total_steps=10_000)
    assert [mark[:2] for mark in schedule.marked_steps(95)] == [
        (0, "start"),
        (50, "end of warm-up"),
        (60, "decay 3"),
        (80, "decay 4"),
        (94, "last step"),
    ]


def test_marked_steps_stay_within_a_run_that_ends_in_the_warm_up():
    recipe = Exponential(lr_per_256=1, decay_rate=0.9, decay_epochs=2, warmup_epochs=5)
    schedule = build_schedule(recipe, global_batch=256, steps_per_epoch=10, total_steps=10_000)
    assert [mark[:2] for mark in schedule.marked_steps(30)] == [(0, "start"), (29, "last step")]


RECIPES = {  # each with no field at its default
    "exponential": Exponential(lr_per_256=1, decay_rate=0.5, decay_epochs=2, warmup_epochs=3, staircase=False),
    "stepwise": Stepwise(lr=0.2, boundaries=(5, 90), factor=0.5, warmup_lr=0.01, warmup_error=0.7),
    "plateau": Stepwise(lr=0.2, boundaries=(5, 90), drops="plateau", patience=2, min_improvement=0.01),
    "warm_up": WarmUp(lr=0.2, warmup_steps=7, cooldown_steps=70, second_pass_epochs=1.5, second_pass_factor=0.25),
    "inverse_square_root": InverseSquareRoot(lr=0.2, period=7),
    "dynamic_drop": DynamicDrop(lr=0.2, factor=0.5, patience=9, window=3),
    "warm_up_inverse_square_root": WarmUpInverseSquareRoot(lr=0.2, warmup_steps=7),
}
every_schedule = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


def schedule_of(recipe):
    return build_schedule(recipe, global_batch=256, steps_per_epoch=10, total_steps=10_000, second_pass_step=50)


@every_schedule
def test_an_optimizer_reads_the_rate_at_its_own_step(recipe):
    schedule = schedule_of(recipe)
    optimizer = keras.optimizers.SGD(schedule)
    for step in (3, 100, 499_999):
        optimizer.iterations.assign(step)
        assert float(optimizer.learning_rate) == float(schedule(step))
        assert float(tf.function(lambda: tf.identity(optimizer.learning_rate))()) == float(schedule(step))


@every_schedule
def test_configuration_survives_a_file_of_text(recipe):
    schedule = schedule_of(recipe)
    text = json.dumps(keras.optimizers.schedules.serialize(schedule))
    restored = keras.optimizers.schedules.deserialize(json.loads(text))
    assert type(restored) is type(schedule)
    assert restored.get_config() == schedule.get_config()
    assert [float(restored(step)) for step in range(0, 100, 9)] == [float(schedule(step)) for step in range(0, 100, 9)]


@every_schedule
def test_two_replicas_remember_what_one_does(two_replicas, recipe):
    with two_replicas.scope():
        schedule = schedule_of(recipe)
    alone = schedule_of(recipe)

    @tf.function
    def step(number, numbers):
        two_replicas.run(schedule.after_step, (number, numbers))

    for number in range(20):
        number, numbers = tf.constant(number, tf.int64), {"loss": tf.constant(0.5), "top1": tf.constant(0.1)}
        step(number, numbers)
        alone.after_step(number, numbers)
    for variable, single in zip(schedule.variables, alone.variables, strict=True):
        assert [float(v) for v in two_replicas.experimental_local_results(variable)] == [float(single)] * 2
    assert float(schedule(20)) == float(alone(20))


@pytest.mark.parametrize("lucky", [0, 1, 2])
def test_a_window_with_a_lucky_batch_is_no_improvement_wherever_the_batch_stands(lucky):
    schedule = schedule_of(DynamicDrop(lr=0.2, factor=0.5, patience=3, window=3))
    window = [7.0, 7.0, 7.0]
    window[lucky] = 0.1
    for step, loss in enumerate([4.0, 4.0, 4.0, *window]):
        assert float(schedule(step)) == pytest.approx(0.2)
        schedule.after_step(tf.constant(step, tf.int64), {"loss": tf.constant(loss)})
    assert float(schedule(6)) == pytest.approx(0.1)

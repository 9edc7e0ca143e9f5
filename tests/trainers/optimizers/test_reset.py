"""Every optimizer of a recipe can forget what it has seen, and unknown kinds are refused."""

import dataclasses

import keras
import numpy as np
import pytest

from flags.optimization import OPTIMIZERS, Optimizer
from flags.schedules import Schedule
from trainers.optimizers import build_optimizer, build_schedule
from trainers.optimizers.reset import slots_of

FIELDS = {"layerwise_sgd": {"factors": (1.0, 1.0)}}


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "closed_form"])
def test_a_reset_puts_every_slot_back_and_keeps_the_count_of_updates(name):
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    optimizer = build_optimizer(OPTIMIZERS[name](**FIELDS.get(name, {})), 0.1)
    optimizer.build(model.trainable_variables)
    first = [np.array(slot) for slot in slots_of(optimizer)]
    for variable in model.trainable_variables:  # as the training loop does it
        optimizer.update_step(keras.ops.ones(variable.shape), variable, 0.1)
    optimizer.iterations.assign(1)
    optimizer.reset()
    for slot, value in zip(slots_of(optimizer), first):
        np.testing.assert_array_equal(slot, value, err_msg=slot.path)
    assert int(optimizer.iterations) == 1


def test_an_unknown_recipe_is_refused():
    unknown = dataclasses.make_dataclass("Unknown", [], bases=(Optimizer,), frozen=True, kw_only=True)
    with pytest.raises(TypeError, match="no optimizer is made for Unknown"):
        build_optimizer(unknown(), 0.1)
    unknown = dataclasses.make_dataclass("Unknown", [], bases=(Schedule,), frozen=True, kw_only=True)
    with pytest.raises(TypeError, match="no schedule is made for Unknown"):
        build_schedule(unknown(), global_batch=1, steps_per_epoch=1.0, total_steps=1)

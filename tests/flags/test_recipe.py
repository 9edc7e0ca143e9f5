"""The dataclasses of a recipe: frozen, checked, and exact about steps."""

import dataclasses

import pytest

from flags.errors import UserError
from flags.recipe import Model, Train


def train(**fields) -> Train:
    return Train(**{"global_batch": 8, "eval_every": 1, "checkpoint_every": 1, **fields})


def test_steps_are_taken_as_they_are():
    assert train(steps=17).total_steps(1000) == 17


@pytest.mark.parametrize(
    ("global_batch", "epochs", "examples", "steps"),
    [
        (4096, 350, 1_281_167, 109_474),  # 109,474.7: the official code's number
        (2048, 350, 1_281_167, 218_949),
        (1, 0.29, 100, 29),  # 28.999999999999996 in floating point
        (64, 1, 10, 1),  # less than a batch: one step all the same
    ],
)
def test_epochs_become_steps_rounded_down(global_batch, epochs, examples, steps):
    assert train(global_batch=global_batch, epochs=epochs).total_steps(examples) == steps


def test_an_epoch_is_not_rounded_to_steps():
    assert train(global_batch=4096, epochs=1).steps_per_epoch(1_281_167) == pytest.approx(312.785, abs=5e-4)


@pytest.mark.parametrize("length", [{}, {"steps": 1, "epochs": 1}])
def test_a_run_has_exactly_one_length(length):
    with pytest.raises(UserError, match="exactly one"):
        train(**length)


def test_a_recipe_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        train(steps=1).steps = 2


def test_a_models_options_are_what_its_builder_takes():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Net(Model):
        resolution: int = 32
        dropout: float = 0.0
        width: float | None = None

    assert Net(name="net").options() == {"dropout": 0.0}
    assert Net(name="net", width=2.0).options() == {"dropout": 0.0, "width": 2.0}

"""The recipe: the mean brightness of digits, by a small network."""

import dataclasses

from flags.data import Data
from flags.optimization import Adam
from flags.recipe import Experiment, Model, Paper
from flags.schedules import Constant
from flags.tasks import TaskKind
from flags.training import Train

KIND = TaskKind(
    name="brightness",
    does="says how bright an image is; --mode=evaluate tests it",
    modes=("benchmark",),
    synthetic="nothing",
    headline="squared_error",
    not_averaged="a regression on images",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BrightImages(Data):
    """Images, resized to `size` pixels a side."""

    name: str = "digits"
    train_split: str = "train"
    validation_split: str | None = "test"
    test_split: str = "test"
    size: int = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network(Model):
    """A hidden layer of `units`."""

    name: str = "one_hidden_layer"
    units: int = 16


def brightness_digits():
    return Experiment(
        name="brightness_digits",
        summary="the brightness of digits",
        task="brightness",
        paper=Paper(citation="Nobody 2026, Brightness", row="no table", numbers={}),
        model=Network(),
        data=BrightImages(),
        optimizer=Adam(weight_decay=0.0),
        schedule=Constant(lr=0.01),
        train=Train(global_batch=50, steps=60, log_every=20, eval_every=20, checkpoint_every=20),
        sample={"train.steps": 60},
        sample_deviations=("Embedded sample: the only data that there is.",),
    )

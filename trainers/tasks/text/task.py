"""Language modelling: the cross-entropy of the next symbol, in nats, and in bits per character or as perplexity."""

from __future__ import annotations

import functools
import math
import operator

import keras
import numpy as np
import tensorflow as tf

import tf_models
from flags.errors import UserError
from flags.recipe import Experiment
from trainers.loop.stateful import StatefulModel
from trainers.loop.windows import Steps
from trainers.run.folder import RunFolder
from trainers.tasks.shares import check_shares
from trainers.tasks.task import Task
from trainers.tasks.text import segments
from trainers.tasks.text.data import TextDataSet

METRICS = {  # unit of the text -> the papers' metric of it, of a loss in nats
    "byte": ("bpc", lambda loss: loss / math.log(2.0)),
    "word": ("perplexity", tf.exp),
}
LANES = {  # split of a text -> the field that says how many lanes it is cut into; the fewest symbols of a lane
    "train_split": ("train.global_batch", 3),  # of the last two the second may never be predicted
    "validation_split": ("data.validation_lanes", 2),
    "test_split": ("data.test_lanes", 2),
}


class LanguageModelling(Task):
    """What the loop asks of language modelling.

    A batch is a dict: `tokens` and `targets` [lanes, time] int32, where a lane's target is its next token, `is_first`
    [lanes] bool, whether the lane begins a text; the same number of tokens in every lane.
    """

    selects_by = "loss"
    larger_is_better = False
    carries_state = True
    no_xla = "segments vary in length, and XLA would compile each length anew (and not cuDNN's LSTM at all)"

    def __init__(self, recipe: Experiment, dataset: TextDataSet):
        self.recipe = recipe
        self.dataset = dataset
        self.unit = dataset.unit
        self.metric, self.metric_of = METRICS[dataset.unit]

    @property
    def test_protocol(self) -> str:
        return f"{self.recipe.data.test_lanes} lanes"

    protocol_on_the_way = test_protocol

    @property
    def metric_names(self) -> tuple[str, ...]:
        return ("loss", self.metric)

    def check_splits(self) -> None:
        """Every split of the recipe is there, and long enough for its lanes, before anything is trained."""
        for field in LANES:
            if getattr(self.recipe.data, field) is not None:
                self._check_lanes(field)

    def _check_lanes(self, field: str) -> None:
        lanes_field, fewest = LANES[field]
        split, unit = getattr(self.recipe.data, field), self.unit
        symbols, lanes = self.dataset.num_tokens(split), operator.attrgetter(lanes_field)(self.recipe)
        if symbols < fewest * lanes:
            raise UserError(
                f"data.{field}={split} has {symbols:,} {unit}s, which is too short for {lanes_field}={lanes} lanes "
                f"of {fewest} {unit}s or more. Take fewer lanes, or a larger split."
            )

    def check_batches(self, replicas: int) -> None:
        """Every replica gets as many lanes as any other."""
        for field, _ in LANES.values():
            check_shares(field, operator.attrgetter(field)(self.recipe), replicas)

    def build_model(self) -> keras.Model:
        model = self.recipe.model
        return tf_models.build_model(model.name, num_classes=self.dataset.num_classes, **model.options())

    @functools.cached_property
    def lanes(self) -> np.ndarray:
        """The training text in as many lanes as there are in a step: [lanes, tokens]."""
        return segments.lanes(self.dataset.tokens(self.recipe.data.train_split), self.recipe.train.global_batch)

    @functools.cached_property
    def passes(self) -> list[segments.Segments]:
        """The segments of the run, one a step, and where there is a second pass, those of it."""
        data, train = self.recipe.data, self.recipe.train
        draw = functools.partial(segments.random_segments, self._rows, data.segment_length)
        if train.steps is not None:
            return [draw(data.length_seed, steps=train.steps)]
        again = getattr(self.recipe.schedule, "second_pass_epochs", 0)
        first = draw(data.length_seed, epochs=train.epochs - again)
        return [first, draw(data.second_pass_length_seed, epochs=again)] if again else [first]

    @functools.cached_property
    def segments(self) -> segments.Segments:
        """Those of all passes."""
        return functools.reduce(operator.add, self.passes)

    @property
    def _rows(self) -> int:
        return self.dataset.num_tokens(self.recipe.data.train_split) // self.recipe.train.global_batch

    def units(self, first: int, steps: int) -> int:
        """How many bytes or words of the text `steps` steps from step `first` on see."""
        return int(self.segments.length[first : first + steps].sum()) * self.recipe.train.global_batch

    @property
    def steps(self) -> Steps:
        total = len(self.segments)
        return Steps(
            total=total,
            per_epoch=total * self._rows / int(self.segments.length.sum()),
            first_pass=len(self.passes[0]) if len(self.passes) > 1 else None,
        )

    def keep(self, folder: RunFolder) -> None:
        """A text is the same to all runs."""

    def training_batches(self, first_step: int, global_batch: int, context: tf.distribute.InputContext):
        """The segments of one input pipeline from `first_step` on, to the run's end; there is one way to cut lanes."""
        return segments.batches(self.lanes, self.segments, first_step=first_step, context=context)

    def same_batch(self, replicas: int) -> tf.data.Dataset:
        """One replica's lanes of a segment of full length, held in memory, for a benchmark."""
        lanes = self.lanes[: self.recipe.train.global_batch // replicas, : self._longest + 1]
        one = segments.fixed_segments(lanes.shape[1], self._longest)
        return segments.batches(lanes, one, context=tf.distribute.InputContext()).cache()

    def units_of_same_batch(self, replicas: int) -> int:
        """How many bytes or words a step sees in which every replica has such a batch."""
        return self.recipe.train.global_batch * self._longest

    @property
    def _longest(self) -> int:
        return min(self.recipe.data.segment_length, self.lanes.shape[1] - 1)

    def passages(self, count: int = 4) -> list[str]:
        r"""What the first lanes read in the first step; bytes that are no UTF-8 are shown as \xNN."""
        length = int(self.segments.length[0])
        passages = [self.dataset.decode(lane[:length]) for lane in self.lanes[:count]]
        return [passage.decode("utf-8", "backslashreplace") for passage in passages]

    def losses(self, network: StatefulModel, batch, training: bool):
        """Mean cross-entropy over time [lanes], in nats, and the metric of it; lanes go on from where they were."""
        outputs = network(batch["tokens"], batch["is_first"], training=training)
        losses = tf.reduce_mean(symbol_losses(network.model, outputs["hidden"], batch["targets"]), axis=1)
        return losses, {self.metric: self.metric_of(losses)}


def symbol_losses(model: keras.Model, hidden: tf.Tensor, symbols: tf.Tensor) -> tf.Tensor:
    """Cross-entropy [lanes, time], in nats, of symbols given what a model's logits are made of."""
    return model.get_layer("embedding").losses_of(hidden, symbols)

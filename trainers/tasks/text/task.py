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
from flags.run import Run
from trainers.data.sources import GeneratedSource, Source
from trainers.loop.state import TrainState
from trainers.loop.stateful import StatefulModel
from trainers.loop.windows import RunLength
from trainers.run.tensorboard import TensorBoard
from trainers.tasks.description import Description, aligned
from trainers.tasks.shares import check_shares
from trainers.tasks.task import OneBatch, Opening, Task
from trainers.tasks.text import data, segments, writing
from trainers.tasks.text.data import DeclaredText, TextDataSet
from trainers.tasks.text.evaluation import TextEvaluation
from trainers.tasks.text.saved_model import TextSavedModel
from trainers.tasks.text.symbols import symbol_losses

METRICS = {  # unit of the text -> the papers' metric, as a function of the loss in nats
    "byte": ("bpc", lambda loss: loss / math.log(2.0)),
    "word": ("perplexity", tf.exp),
}
SHOWN_SEGMENTS = 12  # per pass
LANES = {  # split -> the field with its number of lanes; the minimum length of a lane in symbols
    "train_split": ("train.global_batch", 3),  # of the last two the second may never be predicted
    "validation_split": ("data.validation_lanes", 2),
    "test_split": ("data.test_lanes", 2),
}


class LanguageModelling(Task):
    """Language modelling of a text in parallel lanes.

    A batch is a dict: `tokens` and `targets` [lanes, time] int32, where a lane's target is its next token, `is_first`
    [lanes] bool, whether the lane starts a text; every lane has the same number of tokens.
    """

    monitor = "loss"
    carries_state = True
    no_xla = "segments vary in length, and XLA would recompile for each length (and cannot compile cuDNN's LSTM)"

    def __init__(self, recipe: Experiment, dataset: TextDataSet | DeclaredText, *, seed: int):
        self.recipe = recipe
        self.dataset = dataset
        self.seed = seed
        self.unit = dataset.unit
        self.metric, self.metric_of = METRICS[dataset.unit]

    @classmethod
    def find_data(cls, name: str, data_dir: str | None) -> Source | GeneratedSource:
        return data.find(name, data_dir)

    @classmethod
    def check_replicas(cls, recipe: Experiment, replicas: int) -> None:
        """Raises UserError unless the lanes can be divided equally over the replicas."""
        for field, _ in LANES.values():
            check_shares(field, operator.attrgetter(field)(recipe), replicas)

    @classmethod
    def open(cls, recipe: Experiment, opening: Opening) -> LanguageModelling:
        source = opening.source
        dataset = data.open_text(source, seed=opening.seed) if source.is_prepared else data.declared_text(source)
        return cls(recipe, dataset, seed=opening.seed)

    @property
    def test_protocol(self) -> str:
        return f"{self.recipe.data.test_lanes} lanes"

    validation_protocol = test_protocol

    @property
    def metric_names(self) -> tuple[str, ...]:
        return ("loss", self.metric)

    def check_splits(self) -> None:
        """Raises UserError if a split of the recipe is missing, or too short for its lanes."""
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
                f"of {fewest} {unit}s or more. Use fewer lanes, or a larger split."
            )

    def build_model(self) -> keras.Model:
        model = self.recipe.model
        return tf_models.build_model(model.name, num_classes=self.dataset.num_classes, **model.options())

    @functools.cached_property
    def lanes(self) -> np.ndarray:
        """The training text, cut into the lanes of a step: [lanes, tokens]."""
        return segments.lanes(self.dataset.tokens(self.recipe.data.train_split), self.recipe.train.global_batch)

    @functools.cached_property
    def passes(self) -> list[segments.Segments]:
        """The segments of each pass of the run, one per step."""
        data, train = self.recipe.data, self.recipe.train
        draw = functools.partial(segments.random_segments, self._rows, data.segment_length)
        if train.steps is not None:
            return [draw(data.length_seed, steps=train.steps)]
        again = getattr(self.recipe.schedule, "second_pass_epochs", 0)
        first = draw(data.length_seed, epochs=train.epochs - again)
        return [first, draw(data.second_pass_length_seed, epochs=again)] if again else [first]

    @functools.cached_property
    def segments(self) -> segments.Segments:
        """The segments of all passes."""
        return functools.reduce(operator.add, self.passes)

    @property
    def _rows(self) -> int:
        return self.dataset.num_tokens(self.recipe.data.train_split) // self.recipe.train.global_batch

    def units(self, first: int, steps: int) -> int:
        return int(self.segments.length[first : first + steps].sum()) * self.recipe.train.global_batch

    @functools.cached_property
    def length(self) -> RunLength:
        total = len(self.segments)
        return RunLength(
            total=total,
            per_epoch=total * self._rows / int(self.segments.length.sum()),
            first_pass=len(self.passes[0]) if len(self.passes) > 1 else None,
        )

    def batches(self, first_step: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """The segments of one input pipeline from `first_step` to the end of the run."""
        return segments.batches(self.lanes, self.segments, first_step=first_step, context=context)

    def one_batch(self, replicas: int) -> OneBatch:
        """One replica's lanes of a full-length segment."""
        lanes = self.lanes[: self.recipe.train.global_batch // replicas, : self._longest + 1]
        one = segments.fixed_segments(lanes.shape[1], self._longest)
        first = segments.batches(lanes, one, context=tf.distribute.InputContext()).cache()
        return OneBatch(first, self.recipe.train.global_batch * self._longest)

    @property
    def _longest(self) -> int:
        return min(self.recipe.data.segment_length, self.lanes.shape[1] - 1)

    def write_inputs(self, board: TensorBoard) -> None:
        board.texts("inputs", self.passages(), 0)

    def passages(self, count: int = 4) -> list[str]:
        r"""The first lanes' input in the first step; bytes that are not UTF-8 are printed as \xNN."""
        length = int(self.segments.length[0])
        passages = [self.dataset.decode(lane[:length]) for lane in self.lanes[:count]]
        return [passage.decode("utf-8", "backslashreplace") for passage in passages]

    def losses(self, network: StatefulModel, batch, training: bool):
        """Mean cross-entropy over time [lanes], in nats, and its metric; every lane continues from its state."""
        outputs = network(batch["tokens"], batch["is_first"], training=training)
        losses = tf.reduce_mean(symbol_losses(network.model, outputs["hidden"], batch["targets"]), axis=1)
        return losses, {self.metric: self.metric_of(losses)}

    def evaluation(self, protocol: str, strategy: tf.distribute.Strategy, model: keras.Model) -> TextEvaluation:
        return TextEvaluation(self, strategy, model)

    def saved_model(self, model: keras.Model) -> TextSavedModel:
        return TextSavedModel(self, model)

    def generate(self, run: Run, model: keras.Model, device: str) -> None:
        writing.write(run, self, model, device)

    def describe(self, state: TrainState, replicas: int) -> Description:
        """Multiply-adds are those of one symbol."""
        train, text = self.recipe.train, self.recipe.data
        symbols, lanes, lane_bytes = self.dataset.num_tokens(text.train_split), train.global_batch, _lane_bytes(state)
        passes = [
            {
                "steps": len(part),
                "epochs": int(part.length.sum()) * lanes / symbols,
                "first_segment_lengths": part.length[:SHOWN_SEGMENTS].tolist(),
                "mean_segment_length": float(part.length.mean()),
            }
            for part in self.passes
        ]
        share = lanes // replicas
        return Description(
            facts={
                "unit": self.unit,
                "symbols_per_epoch": symbols,
                "passes": passes,
                "carried_state_mb_per_lane": lane_bytes / 2**20,
            },
            length=self._described_length(passes, symbols),
            examples=share,
            positions=text.segment_length,
            batch=f"{share} lanes of {text.segment_length:,} {self.unit}s",
            remedy="--set=train.global_batch=N takes fewer lanes",
            memory={"carried_state": (share * lane_bytes, f"({lane_bytes / 2**20:.3g} per lane)")},
            per=self.unit,
        )

    def _described_length(self, passes: list[dict], symbols: int) -> str:
        """The length of the run, and its division into segments, one per step."""
        length = self.length
        heading = (
            f"steps  {length.total:,} of {self.recipe.train.global_batch} lanes, one segment each: "
            f"{length.total / length.per_epoch:.1f} epochs of {symbols:,} {self.unit}s, "
            f"on average {length.per_epoch:,.0f} steps each"
        )
        rows = [
            (
                f"  {name} pass",
                f"{one['steps']:,}",
                f"{one['epochs']:.1f}",
                f"{one['mean_segment_length']:.1f}",
                " ".join(map(str, one["first_segment_lengths"])) + (" ..." if one["steps"] > SHOWN_SEGMENTS else ""),
            )
            for name, one in zip(("first", "second"), passes)
        ]
        return f"{heading}\n{aligned([('', 'steps', 'epochs', f'mean {self.unit}s', 'the first segments'), *rows])}"


def _lane_bytes(state: TrainState) -> int:
    """Size of the state that the model carries along one lane."""
    parts = state.model.input["state"].values()
    return sum(math.prod(part.shape[1:]) * tf.as_dtype(part.dtype).size for part in parts)

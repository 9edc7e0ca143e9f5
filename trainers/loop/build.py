"""From a session to what trains it: the state, the loop, the stream of data."""

from __future__ import annotations

import tensorflow as tf

from trainers.loop.state import TrainState
from trainers.loop.stateful import StatefulModel
from trainers.loop.training import TrainLoop
from trainers.optimizers import build_optimizer
from trainers.optimizers.loss_scale import LossScale
from trainers.optimizers.weight_average import WeightAverage
from trainers.session import Session
from trainers.tasks import build_task


def build_state(session: Session) -> TrainState:
    """Model, optimizer and weight average, made in the strategy's scope."""
    ema_decay = session.recipe.train.ema_decay
    with session.strategy.scope():
        model = session.task.build_model()
        schedule = session.build_schedule()
        optimizer = build_optimizer(session.recipe.optimizer, schedule)
        optimizer.build(model.trainable_variables)
        return TrainState(
            model=model,
            optimizer=optimizer,
            schedule=schedule,
            average=WeightAverage([*model.trainable_weights, *model.non_trainable_weights], ema_decay)
            if ema_decay
            else None,
            loss_scale=LossScale() if session.precision == "mixed_float16" else None,
            carried=StatefulModel(session.strategy, model, session.recipe.train.global_batch)
            if session.task.carries_state
            else None,
        )


def build_loop(session: Session, state: TrainState) -> TrainLoop:
    return TrainLoop(
        strategy=session.strategy,
        task=session.task,
        state=state,
        recipe=session.recipe.train,
        weight_decay=session.recipe.optimizer.l2,
        decayed=session.recipe.optimizer.decayed,
        seed=session.run.seed,
        jit_compile=session.jit_compile,
        measure_waiting=not session.run.deterministic,
    )


def training_data(session: Session, *, first_step: int) -> tf.distribute.DistributedDataset:
    """The stream of training batches from `first_step` on, one batch per replica and step."""
    return session.strategy.distribute_datasets_from_function(
        lambda context: session.task.training_batches(first_step, session.recipe.train.global_batch, context)
    )


def first_inputs(session: Session, count: int = 64) -> tf.Tensor:
    """The first `count` augmented training images, [count, height, width, channels] in 0..255, no mean subtracted."""
    count = min(count, session.recipe.train.global_batch)
    task = session.task
    if session.mean_image is not None:
        task = build_task(session.recipe, session.dataset, seed=session.run.seed)
    return next(iter(task.training_batches(0, count, tf.distribute.InputContext())))["image"]

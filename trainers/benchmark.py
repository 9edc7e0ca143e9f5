"""`--mode=benchmark`: how fast an experiment trains here, and how much of that the loop itself costs.

Three things are measured in turn, window by window, so that a machine whose speed drifts treats them alike: the loop
on real input; the loop on one batch again and again; and a bare compiled step on that same batch, called from Python,
with what the recipe asks of a step (forward, backward, L2, update, weight average) and nothing else.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import tensorflow as tf

from flags.run import Run
from tf_models.layers import noise
from trainers import strategy as strategies
from trainers.build import build_loop, build_state, training_batches, training_data
from trainers.loop import is_decayed
from trainers.session import Session, open_session
from trainers.state import TrainState

WINDOWS = 7
WINDOW_SECONDS = 4.0


def benchmark(run: Run) -> None:
    """Prints examples per second of the loop, of a bare step on the same batch, and of the input alone."""
    session = open_session(run)
    numbers = measure(session)
    if run.json:
        print(json.dumps(numbers))
        return
    devices = strategies.describe(session.strategy, session.precision)
    print(f"{session.recipe.name} on {session.recipe.data.name}; {devices}")
    for name, value in numbers.items():
        print(f"  {name:30} {value:,.4g}" if isinstance(value, float) else f"  {name:30} {value}")


def measure(session: Session) -> dict[str, float | int | str]:
    """All numbers of the benchmark. `loop_share` is the loop's speed over the bare step's, both on the same batch."""
    began = time.perf_counter()
    state = build_state(session)
    loop = build_loop(session, state)
    real = iter(training_data(session, first_step=0))
    loop.run(real, 1)
    seconds_to_first_step = time.perf_counter() - began

    same = _same_batch(session)
    repeated = iter(session.strategy.distribute_datasets_from_function(lambda _: same.repeat()))
    fixed = next(repeated)
    bare = _bare_step(session, state)
    seconds = _in_turn(
        {
            "loop": lambda steps: loop.run(real, steps),
            "same": lambda steps: loop.run(repeated, steps),
            "bare": lambda steps: _call(bare, fixed, steps),
        }
    )
    batch = session.recipe.train.global_batch
    median = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        "experiment": session.recipe.name,
        "data": session.data,
        "precision": session.precision,
        "replicas": session.strategy.num_replicas_in_sync,
        "global_batch": batch,
        "examples_per_second": batch / median["loop"],
        "step_seconds": median["loop"],
        "examples_per_second_same_batch": batch / median["same"],
        "examples_per_second_bare_step": batch / median["bare"],
        "loop_share": statistics.median(bare / same for bare, same in zip(seconds["bare"], seconds["same"])),
        "input_examples_per_second": batch / _input_seconds(session),
        "seconds_to_first_step": seconds_to_first_step,
        "peak_memory_mb": _peak_memory_mb(session),
        "traces": loop.traces,
    }


def _same_batch(session: Session) -> tf.data.Dataset:
    """One replica's first batch, held in memory."""
    replica_batch = session.recipe.train.global_batch // session.strategy.num_replicas_in_sync
    return training_batches(session, 0, replica_batch, tf.distribute.InputContext()).take(1).cache()


def _bare_step(session: Session, state: TrainState) -> Callable:
    """A step as one would write it by hand: no metrics, no norms, no checks, one batch."""
    variables, recipe = state.model.trainable_variables, session.recipe
    replicas = session.strategy.num_replicas_in_sync

    def gradients_of(batch, step):
        with noise.draws(tf.stack([step, step]), 0), tf.GradientTape() as tape:
            losses, _ = session.task.losses(state.model, batch, training=True)
            objective = tf.reduce_sum(losses) / recipe.train.global_batch
        return tape.gradient(objective, variables)

    if session.jit_compile:
        gradients_of = tf.function(gradients_of, jit_compile=True)

    def replica_step(batch):
        gradients = gradients_of(batch, tf.identity(state.step))
        if replicas > 1:
            gradients = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        lr = state.optimizer.learning_rate
        for gradient, variable in zip(gradients, variables):
            if is_decayed(variable, recipe.optimizer.decayed):
                gradient += recipe.optimizer.weight_decay * variable
            state.optimizer.update_step(gradient, variable, lr)
        state.optimizer.iterations.assign_add(1)
        if state.average is not None:
            state.average.update(state.step)

    return tf.function(lambda batch: session.strategy.run(replica_step, (batch,)))


def _call(step: Callable, batch, steps: int) -> None:
    for _ in range(steps):
        step(batch)
    tf.test.experimental.sync_devices()


def _in_turn(runs: Mapping[str, Callable[[int], object]]) -> dict[str, list[float]]:
    """Seconds a step of each run, window after window in turn, after a warm-up."""
    for run in runs.values():
        run(2)
    steps = max(1, int(WINDOW_SECONDS / _seconds(next(iter(runs.values())), 3)))
    seconds = {name: [] for name in runs}
    for _ in range(WINDOWS):
        for name, run in runs.items():
            seconds[name].append(_seconds(run, steps))
    return seconds


def _seconds(run: Callable[[int], object], steps: int) -> float:
    began = time.perf_counter()
    run(steps)
    return (time.perf_counter() - began) / steps


def _input_seconds(session: Session) -> float:
    """Seconds a global batch of the input pipeline alone, nothing else running: the median over batches."""
    batches = iter(training_batches(session, 0, session.recipe.train.global_batch, tf.distribute.InputContext()))
    times, until = [], time.perf_counter() + 2 * WINDOW_SECONDS
    while len(times) < 10 or time.perf_counter() < until:
        times.append(_seconds(lambda _: next(batches), 1))
        if len(times) >= 3 and time.perf_counter() > until:
            break
    return statistics.mean(times[len(times) // 4 :])  # the first batches come from what was read ahead


def _peak_memory_mb(session: Session) -> float:
    """Of the first GPU, or of this process where there is none."""
    if strategies.uses_gpu(session.strategy):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

"""`--mode=benchmark`: training speed on this machine, and the overhead of the training loop.

Three variants are measured in alternating windows, so that drifts of the machine's speed affect them equally: the loop
on real input; the loop on a single repeated batch; and a bare compiled step on that batch, called from Python, with
only what the recipe requires (forward, backward, L2, clipping, update, weight average). Speed is in examples per
second, in bytes or words for texts (whose single batch is a segment of full length), or in subwords for translation.
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
from trainers.loop.state import TrainState
from trainers.optimizers.decay import decayed
from trainers.run import strategy as strategies
from trainers.session import Session, open_session

WINDOWS = 7
WINDOW_SECONDS = 4.0


def benchmark(run: Run) -> None:
    """Prints the speed of the loop, of a bare step on the same batch, and of the input pipeline alone."""
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
    """Returns all measurements. `loop_share` is the loop's speed divided by the bare step's, on the same batch."""
    began = time.perf_counter()
    state = session.build_state()
    loop = session.build_loop(state)
    real = RealInput(session)
    loop.run(real.iterator, real.advance(1))
    seconds_to_first_step = time.perf_counter() - began

    same = session.task.one_batch(session.replicas)
    repeated = iter(session.strategy.distribute_datasets_from_function(lambda _: same.dataset.repeat()))
    fixed = next(repeated)
    bare = _bare_step(session, state)
    seconds = _in_turn(
        {
            "loop": lambda steps: loop.run(real.iterator, real.advance(steps)),
            "same": lambda steps: loop.run(repeated, steps),
            "bare": lambda steps: _call(bare, fixed, steps),
        }
    )
    units = f"{session.task.unit}s"
    median = {name: statistics.median(times) for name, times in seconds.items()}
    speeds = [seen / taken for seen, taken in zip(real.units_per_step[-WINDOWS:], seconds["loop"])]
    return {
        "experiment": session.recipe.name,
        "data": session.variant,
        "precision": session.precision,
        "replicas": session.replicas,
        "global_batch": session.recipe.train.global_batch,
        f"{units}_per_second": statistics.median(speeds),
        "step_seconds": median["loop"],
        f"{units}_per_second_same_batch": same.units / median["same"],
        f"{units}_per_second_bare_step": same.units / median["bare"],
        "loop_share": statistics.median(bare / same for bare, same in zip(seconds["bare"], seconds["same"])),
        f"input_{units}_per_second": _mean_units(session) / _input_seconds(session),
        "seconds_to_first_step": seconds_to_first_step,
        "peak_memory_mb": _peak_memory_mb(session),
        "traces": loop.traces,
    }


class RealInput:
    """The run's own batches, and the number of units (examples, bytes, words) per step of each call of the loop.

    The segments of a text restart at its end.
    """

    def __init__(self, session: Session):
        self.iterator = iter(
            session.strategy.distribute_datasets_from_function(
                lambda context: session.task.batches(0, context).repeat()
            )
        )
        self.units_per_step: list[float] = []
        self._session = session
        self._step = 0

    def advance(self, steps: int) -> int:
        """Records the units of the next `steps` steps; returns `steps`."""
        session = self._session
        places = [step % session.task.length.total for step in range(self._step, self._step + steps)]
        self.units_per_step.append(sum(session.task.units(place, 1) for place in places) / steps)
        self._step += steps
        return steps


def _mean_units(session: Session) -> float:
    """The mean number of units (examples, bytes, words) per step of the run."""
    return session.task.units(0, session.task.length.total) / session.task.length.total


def _bare_step(session: Session, state: TrainState) -> Callable:
    """A minimal training step: no metrics, no norms, no checks, one batch."""
    variables, recipe = state.model.trainable_variables, session.recipe
    decays = decayed(state.model, recipe.optimizer.decayed)
    replicas = session.replicas

    def gradients_of(batch, step):
        with noise.draws(tf.stack([step, step]), 0), tf.GradientTape() as tape:
            losses, _ = session.task.losses(state.network, batch, training=True)
            objective = tf.reduce_sum(losses) / recipe.train.global_batch
        return tape.gradient(objective, variables)

    if session.jit_compile:
        gradients_of = tf.function(gradients_of, jit_compile=True)

    def replica_step(batch):
        gradients = gradients_of(batch, tf.identity(state.step))
        if replicas > 1:
            gradients = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        if recipe.optimizer.l2:
            gradients = [
                g + recipe.optimizer.l2 * v if is_decayed else g
                for g, v, is_decayed in zip(gradients, variables, decays)
            ]
        if recipe.train.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, recipe.train.clip_norm)
        lr = state.optimizer.learning_rate
        for gradient, variable in zip(gradients, variables):
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
    """Seconds per step of each run, in alternating windows after a warm-up."""
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
    """Median seconds per global batch of the input pipeline alone."""
    batches = iter(session.task.batches(0, tf.distribute.InputContext()).repeat())
    times, until = [], time.perf_counter() + 2 * WINDOW_SECONDS
    while len(times) < 10 or time.perf_counter() < until:
        times.append(_seconds(lambda _: next(batches), 1))
        if len(times) >= 3 and time.perf_counter() > until:
            break
    return statistics.mean(times[len(times) // 4 :])  # the first batches were prefetched


def _peak_memory_mb(session: Session) -> float:
    """Peak memory of the first GPU, or of this process without GPUs."""
    if strategies.uses_gpu(session.strategy):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

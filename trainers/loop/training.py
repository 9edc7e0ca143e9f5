"""The training loop under `tf.distribute`: many optimizer steps per call, without Python in between.

One step on every replica: forward and backward over its micro-batches, one packed all-reduce of gradients, batch-norm
statistics and metric sums, then the update, which is identical on all replicas and needs no communication. Every
variable is replicated and assigned locally; batch-norm statistics are averaged over the replicas in the same
all-reduce, so all replicas have equal values after every step and a checkpoint at any step is exact.

The host calls `TrainLoop.run(iterator, steps)` and gets a few numbers back. Evaluation, checkpoints and logging happen
only between calls.
"""

from __future__ import annotations

import tensorflow as tf

from flags.training import Train
from tf_models.layers import noise
from trainers.loop.state import TrainState
from trainers.optimizers import decay

SUM = tf.distribute.ReduceOp.SUM


class TrainLoop:
    """Takes optimizer steps on `state` for a task.

    Args:
        strategy: the `tf.distribute.Strategy` in whose scope `state` was created.
        task: provides `losses(network, batch, training)`, `network` as in `TrainState`.
        state: model, optimizer, weight average; advanced in place.
        recipe: `global_batch`, `micro_batches`, `clip_norm` are read.
        weight_decay: coefficient c of the coupled L2 term c * sum(w^2) / 2 over the `decayed` weights. Its gradient
            c * w is added after the all-reduce, which is equivalent to adding the term to the loss.
        decayed: "kernels", "outside_batch_norm" or "all" (`flags.optimization.Optimizer`).
        seed: of dropout and stochastic depth.
        jit_compile: compile forward and backward with XLA.
        measure_waiting: measure the time spent waiting for data; TensorFlow's deterministic mode has no clock.
    """

    def __init__(
        self,
        *,
        strategy: tf.distribute.Strategy,
        task,
        state: TrainState,
        recipe: Train,
        weight_decay: float,
        decayed: str = "outside_batch_norm",
        seed: int,
        jit_compile: bool = False,
        measure_waiting: bool = True,
    ):
        self._strategy = strategy
        self._task = task
        self._state = state
        self._recipe = recipe
        self._weight_decay = weight_decay
        self._seed = seed
        self._now = tf.timestamp if measure_waiting else _no_clock
        self._loss_scale = state.loss_scale
        self._variables = state.model.trainable_variables
        self._decayed = decay.decayed(state.model, decayed)
        self._replica_batch = recipe.global_batch // strategy.num_replicas_in_sync
        self._micro_batches = recipe.micro_batches_of(strategy.num_replicas_in_sync)
        self._gradients = (
            tf.function(self._forward_backward, jit_compile=True) if jit_compile else self._forward_backward
        )
        self._run = tf.function(self._steps)

    def run(self, iterator, steps: int, *, stop: bool = False) -> dict[str, float]:
        """Takes `steps` optimizer steps; returns the means over them.

        Besides the task's metrics: `gradient_norm` (before clipping), `parameter_norm` and `l2` (at the end), `lr` (of
        the last step), `waited` (seconds this worker waited for data; 0 if not measured), `stops` (number of replicas
        called with `stop`), `first_nonfinite` (the first step with a non-finite loss or gradient; -1 if none).
        """
        numbers = self._run(iterator, tf.constant(steps), tf.constant(float(stop)))
        return {name: float(value) for name, value in numbers.items()}

    @property
    def traces(self) -> int:
        """The number of times that the loop was traced; more than one is a retracing bug."""
        return self._run.experimental_get_tracing_count()

    def _steps(self, iterator, steps, stop):
        totals = {name: tf.zeros(()) for name in (*self._task.metric_names, "gradient_norm")}
        waited, stops, first_nonfinite = tf.zeros((), tf.float64), tf.zeros(()), tf.constant(-1, tf.int64)
        lr = tf.zeros(())
        for _ in tf.range(steps):
            asked = self._now()
            batch = next(iterator)
            with tf.control_dependencies(tf.nest.flatten(self._local(batch), expand_composites=True)):
                waited += self._now() - asked
            step = tf.identity(self._state.step)
            numbers = self._local(self._strategy.run(self._replica_step, (batch, stop)))
            totals = {name: totals[name] + numbers[name] for name in totals}
            stops, lr = numbers["stops"], numbers["lr"]
            if not numbers["finite"] and first_nonfinite < 0:
                first_nonfinite = step
        count = tf.cast(steps, tf.float32)
        means = {name: total / count for name, total in totals.items()}
        last = {"lr": lr, "stops": stops, "first_nonfinite": first_nonfinite}
        return means | self._weight_numbers() | {"waited": waited} | last

    def _weight_numbers(self):
        weights = [tf.cast(v, tf.float32) for v in self._variables]
        squares = [tf.reduce_sum(tf.square(w)) for w in weights]
        l2 = tf.add_n([s for s, decays in zip(squares, self._decayed) if decays]) * (self._weight_decay / 2)
        return {"parameter_norm": tf.sqrt(tf.add_n(squares)), "l2": l2}

    def _replica_step(self, batch, stop):
        replica = tf.distribute.get_replica_context()
        step, stops = tf.identity(self._state.step), tf.identity(stop)
        sums, gradients = self._gradients(batch, step, replica.replica_id_in_sync_group)
        if self._strategy.num_replicas_in_sync > 1:
            statistics = [tf.convert_to_tensor(v) for v in self._state.statistics]
            gradients, statistics, sums, stops = packed_sum(replica, (gradients, statistics, sums, stops))
            for variable, total in zip(self._state.statistics, statistics):
                variable.assign(total / self._strategy.num_replicas_in_sync)

        if self._loss_scale is not None:
            gradients = self._loss_scale.unscale(gradients)
        gradients = [
            g + self._weight_decay * tf.cast(v, g.dtype) if decays else g
            for g, v, decays in zip(gradients, self._variables, self._decayed)
        ]
        norm = tf.linalg.global_norm(gradients)
        finite = tf.math.is_finite(norm)
        if self._recipe.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self._recipe.clip_norm, use_norm=norm)
        lr = tf.identity(self._state.optimizer.learning_rate)
        self._update(gradients, finite, step, lr)

        numbers = {name: total / self._recipe.global_batch for name, total in sums.items()}
        self._state.schedule.after_step(step, numbers)
        # A scaled gradient may overflow, which only lowers the scale; a non-finite loss always ends the run.
        healthy = tf.math.is_finite(numbers["loss"]) & (finite | (self._loss_scale is not None))
        norm = tf.where(finite, norm, 0.0) if self._loss_scale is not None else norm
        return numbers | {"gradient_norm": norm, "finite": healthy, "stops": stops, "lr": lr}

    def _forward_backward(self, batch, step, replica):
        """Gradients and metric sums of this replica's part of the global batch, micro-batch by micro-batch."""
        micro_batches = self._micro_batches
        size = self._replica_batch // micro_batches
        seed = tf.stack([tf.cast(self._seed, tf.int64), step])
        first = tf.cast(replica, tf.int64) * self._replica_batch

        def micro_batch(index):
            part = batch if micro_batches == 1 else {k: v[index * size : (index + 1) * size] for k, v in batch.items()}
            with noise.draws(seed, first + tf.cast(index, tf.int64) * size), tf.GradientTape() as tape:
                losses, metrics = self._task.losses(self._state.network, part, training=True)
                objective = tf.reduce_sum(losses) / self._recipe.global_batch
                if self._loss_scale is not None:
                    objective = self._loss_scale.scale(objective)
            gradients = tape.gradient(objective, self._variables)
            # TensorFlow does not infer the complete gradient shape of a product over time.
            gradients = [tf.ensure_shape(g, v.shape) for g, v in zip(gradients, self._variables)]
            sums = {name: tf.reduce_sum(values) for name, values in metrics.items()} | {"loss": tf.reduce_sum(losses)}
            return sums, gradients

        if micro_batches == 1:
            return micro_batch(0)
        zeros = (
            {name: tf.zeros(()) for name in self._task.metric_names},
            [tf.zeros(v.shape, v.dtype) for v in self._variables],
        )
        add = lambda index, total: (index + 1, tf.nest.map_structure(tf.add, total, micro_batch(index)))  # noqa: E731
        return tf.while_loop(lambda index, _: index < micro_batches, add, (0, zeros), parallel_iterations=1)[1]

    def _update(self, gradients, finite, step, lr) -> None:
        optimizer = self._state.optimizer

        def apply():
            for gradient, variable in zip(gradients, self._variables):
                optimizer.update_step(gradient, variable, lr)

        if self._loss_scale is None:
            apply()
        else:
            tf.cond(finite, apply, lambda: None)
            self._loss_scale.update(finite)
        optimizer.iterations.assign_add(1)
        if self._state.average is not None:
            self._state.average.update(step + 1)

    def _local(self, values):
        """The first replica's values: after the all-reduce all replicas have the same."""
        return tf.nest.map_structure(lambda v: self._strategy.experimental_local_results(v)[0], values)


def _no_clock() -> tf.Tensor:
    return tf.zeros((), tf.float64)


def packed_sum(replica: tf.distribute.ReplicaContext, values):
    """Sums a structure of tensors over all replicas in a single message, packed as one float32 vector."""
    flat = tf.nest.flatten(values)
    packed = tf.concat([tf.reshape(tf.cast(value, tf.float32), [-1]) for value in flat], axis=0)
    parts = tf.split(replica.all_reduce(SUM, packed), [value.shape.num_elements() for value in flat])
    return tf.nest.pack_sequence_as(
        values, [tf.reshape(tf.cast(part, value.dtype), value.shape) for part, value in zip(parts, flat)]
    )

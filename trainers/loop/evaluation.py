"""Sums of metrics over a data set under `tf.distribute`, in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf


class EvalLoop:
    """Sums metrics over a data set in one call, every example counted once by its `weight`.

    Args:
        measure: gives the metrics of a batch, [batch] each, by name.
        names: their names.
    """

    def __init__(
        self,
        *,
        strategy: tf.distribute.Strategy,
        measure: Callable[[Mapping[str, tf.Tensor]], dict[str, tf.Tensor]],
        names: Sequence[str],
    ):
        self._strategy = strategy
        self._measure = measure
        self._names = names
        self._run = tf.function(self._steps)

    def run(self, iterator, steps: int) -> dict[str, float]:
        """Means over all examples of `steps` batches, and `examples`: how many there were."""
        sums = {name: float(total) for name, total in self._run(iterator, tf.constant(steps)).items()}
        examples = sums.pop("weight")
        return {name: total / examples for name, total in sums.items()} | {"examples": round(examples)}

    def _steps(self, iterator, steps):
        # float64: counts of millions of examples stay exact.
        totals = {name: tf.zeros((), tf.float64) for name in (*self._names, "weight")}
        for _ in tf.range(steps):
            sums = self._strategy.run(self._replica_step, (next(iterator),))
            local = tf.nest.map_structure(lambda v: self._strategy.experimental_local_results(v)[0], sums)
            totals = {name: totals[name] + tf.cast(local[name], tf.float64) for name in totals}
        return totals

    def _replica_step(self, batch):
        weight = batch["weight"]
        sums = {name: tf.reduce_sum(values * weight) for name, values in self._measure(batch).items()}
        sums["weight"] = tf.reduce_sum(weight)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, sums)

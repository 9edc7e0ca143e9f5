"""Sums of metrics over a data set under `tf.distribute`, in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

Numbers = Mapping[str, np.ndarray]


def means(sums: Numbers, weight: float) -> dict[str, float]:
    """Each sum divided by the weight of all examples."""
    return {name: float(total) / weight for name, total in sums.items()}


class EvalLoop:
    """Sums per-example numbers over a data set in one call, weighted by each example's `weight`.

    Args:
        measure: maps a batch to named numbers, [batch], or [batch, ...] for sums that are not scalars (counts per
            class, a confusion matrix).
        names: their names; for non-scalar sums a mapping from name to the shape of the sum.
        finish: computes metrics from the sums (float64) and the total weight.
    """

    def __init__(
        self,
        *,
        strategy: tf.distribute.Strategy,
        measure: Callable[[Mapping[str, tf.Tensor]], dict[str, tf.Tensor]],
        names: Sequence[str] | Mapping[str, Sequence[int]],
        finish: Callable[[Numbers, float], dict[str, float]] = means,
    ):
        self._strategy = strategy
        self._measure = measure
        shapes = names if isinstance(names, Mapping) else dict.fromkeys(names, ())
        self._shapes = {**shapes, "weight": ()}
        self._finish = finish
        self._run = tf.function(self._steps)

    def run(self, iterator, steps: int) -> dict[str, float]:
        """Returns the metrics over all examples of `steps` batches, and their number as `examples`."""
        sums = {name: total.numpy() for name, total in self._run(iterator, tf.constant(steps)).items()}
        weight = float(sums.pop("weight"))
        return self._finish(sums, weight) | {"examples": round(weight)}

    def _steps(self, iterator, steps):
        # float64 keeps counts of millions of examples exact.
        totals = {name: tf.zeros(shape, tf.float64) for name, shape in self._shapes.items()}
        for _ in tf.range(steps):
            sums = self._strategy.run(self._replica_step, (next(iterator),))
            local = tf.nest.map_structure(lambda v: self._strategy.experimental_local_results(v)[0], sums)
            totals = {name: totals[name] + tf.cast(local[name], tf.float64) for name in totals}
        return totals

    def _replica_step(self, batch):
        weight = batch["weight"]
        sums = {name: tf.tensordot(weight, values, axes=1) for name, values in self._measure(batch).items()}
        sums["weight"] = tf.reduce_sum(weight)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, sums)

"""The learning rate of what takes no steps."""

from __future__ import annotations

import tensorflow as tf

from trainers.optimizers.schedules import Schedule


class NoSchedule(Schedule):
    """The rate of an experiment whose `schedule` is none: 0, and no step of it is worth a look."""

    def __call__(self, step):
        return tf.zeros(())

    def marked_steps(self, total_steps):
        return []

    def get_config(self):
        return {}

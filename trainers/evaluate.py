"""`--mode=evaluate`: the metrics of a finished run on a split, and the evaluation that training does on the way."""

from __future__ import annotations

import contextlib
import functools
import json

import keras
import tensorflow as tf

from flags.errors import UserError
from flags.run import Run
from tf_models.deep_graphs import deep_graphs
from trainers.data import stream
from trainers.loop import EvalLoop
from trainers.session import Session, open_session


class Evaluation:
    """Evaluates a model on splits as often as asked; what was compiled for one is used for all.

    Every example counts exactly once, whatever the batch and the number of replicas.
    """

    def __init__(self, session: Session, model: keras.Model):
        self._session = session
        self._loop = EvalLoop(strategy=session.strategy, task=session.task, model=model)

    def run(self, split: str, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        """Mean metrics over a split, and `examples`; under `weights` (a context that swaps the average in)."""
        data, batches = self._data(split)
        with weights or contextlib.nullcontext():
            return self._loop.run(iter(data), batches)

    @functools.cache  # noqa: B019 (it lives as long as its run)
    def _data(self, split: str) -> tuple[tf.distribute.DistributedDataset, int]:
        """The batches of a split, and how many there are."""
        session, examples = self._session, self._session.dataset.split(split)
        global_batch = session.recipe.train.eval_batch
        data = session.strategy.distribute_datasets_from_function(
            lambda context: stream.evaluation_batches(
                examples, session.task.evaluation_example, global_batch=global_batch, context=context
            )
        )
        return data, -(-examples.num_examples // global_batch)


def load_finished(session: Session) -> keras.Model:
    """The model that a finished run left in its folder.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    path = session.folder.keras_model
    if not path.exists():
        raise UserError(
            f"{path}: there is no finished run here. Train it first: python -m trainers.main "
            f"--experiment={session.recipe.name} --model_dir={session.folder.path}"
        )
    try:
        with session.strategy.scope(), deep_graphs():
            return keras.saving.load_model(path)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: not a Keras file of this project ({str(error).splitlines()[0]}).") from error


def evaluate(run: Run) -> None:
    """Prints the metrics of a finished run on `--split`."""
    session = open_session(run)
    model = load_finished(session)
    split = getattr(session.recipe.data, f"{run.split}_split")
    metrics = Evaluation(session, model).run(split)
    result = {"experiment": session.recipe.name, "data": session.data, "split": split, "metrics": metrics}
    if run.json:
        print(json.dumps(result))
        return
    print(f"{session.recipe.name} on {session.recipe.data.name}, {split} ({session.data} data)")
    for name, value in metrics.items():
        print(f"  {name:10} {value:.4f}" if isinstance(value, float) else f"  {name:10} {value}")

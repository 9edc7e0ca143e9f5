"""`--mode=evaluate`: the metrics of finished runs, or of imported weights, on a split; also what training evaluates."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from typing import Any

import keras
import tensorflow as tf

import tf_models
from flags.errors import UserError
from flags.run import Run
from tf_models.deep_graphs import deep_graphs
from trainers import compressors
from trainers.data import stream
from trainers.held_evaluation import HeldEvaluation
from trainers.loop import EvalLoop
from trainers.regression_evaluation import RegressionEvaluation
from trainers.session import Session, open_session
from trainers.tasks.held_classification import HeldClassification
from trainers.tasks.views import Views, log_mean
from trainers.text_evaluation import TextEvaluation
from trainers.translation_evaluation import TranslationEvaluation


class Evaluation:
    """Tests classifiers on splits as often as asked; what was compiled for one split is used for all.

    Every example counts exactly once, whatever the batch and the number of replicas. Of several classifiers the mean of
    their probabilities is tested.

    Args:
        session: gives data set, devices, batch and loss.
        members: how each classifier is tested (`Classification.views`).
    """

    def __init__(self, session: Session, *members: Views):
        self._session = session
        self._members = members
        self._loop = EvalLoop(strategy=session.strategy, measure=self._measure, names=session.task.metric_names)

    def run(self, split: str, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        """Mean metrics over a split, and `examples`; under `weights` (a context that swaps the average in)."""
        data, batches = self._data(split)
        with weights or contextlib.nullcontext():
            return self._loop.run(iter(data), batches)

    def _measure(self, batch):
        each = [member.log_probabilities(views) for member, views in zip(self._members, batch["views"])]
        losses, metrics = self._session.task.scores(log_mean(tf.stack(each), axis=0), batch["label"])
        return metrics | {"loss": losses}

    def _example(self, example):
        views = tuple(member.example(example["image"]) for member in self._members)
        return {"views": views, "label": tf.cast(example["label"], tf.int64)}

    @functools.cache  # noqa: B019 (it lives as long as its run)
    def _data(self, split: str) -> tuple[tf.distribute.DistributedDataset, int]:
        """The batches of a split, and how many there are."""
        session, examples = self._session, self._session.dataset.split(split)
        replicas = session.strategy.num_replicas_in_sync
        replica_batch = session.recipe.train.eval_batch // replicas
        global_batch = replicas * min(member.images_at_once(replica_batch) for member in self._members)
        data = session.strategy.distribute_datasets_from_function(
            lambda context: stream.evaluation_batches(
                examples, self._example, global_batch=global_batch, context=context
            )
        )
        return data, -(-examples.num_examples // global_batch)


EVALUATIONS = {  # task -> the one way to evaluate its models; of the others, classifiers of images
    "language_modelling": TextEvaluation,
    "regression": RegressionEvaluation,
    "translation": TranslationEvaluation,
}


def evaluation_by(
    protocol: str, session: Session, model: keras.Model
) -> Evaluation | HeldEvaluation | TextEvaluation | RegressionEvaluation | TranslationEvaluation:
    """How a model is evaluated by one of its task's protocols; some tasks have but one."""
    if session.recipe.task in EVALUATIONS:
        return EVALUATIONS[session.recipe.task](session, model)
    if isinstance(session.task, HeldClassification):
        return HeldEvaluation(session, model)
    return Evaluation(session, session.task.views(protocol, model))


def at_the_end(session: Session, evaluation, split: str) -> tuple[dict[str, float], dict[str, Any]]:
    """What of a split is found out once, when a model is finished: further metrics, and what is told besides."""
    if isinstance(evaluation, TranslationEvaluation):
        return evaluation.translate(split)
    if session.task.unit == "byte":
        return {}, {"compressors": compressors_on(session, split)}
    return {}, {}


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


def load_imported(session: Session) -> keras.Model:
    """The recipe's model with all of its weights from `--init_from`; says on stderr what they expect of images.

    Raises:
        UserError: they cannot be read, are of another model, or leave the head as it was made.
    """
    path = session.run.init_from
    try:
        with session.strategy.scope():
            model = session.task.build_model()
        loaded = tf_models.load_weights(model, path)
    except (ValueError, OSError) as error:
        raise UserError(f"--init_from: {error}") from error
    if loaded.initial:
        raise UserError(
            f"--init_from={path}: {loaded}. Without a trained head there is nothing to {session.run.mode}: "
            "use weights of as many classes, or train first."
        )
    if session.is_chief and not session.run.quiet:
        print(f"--init_from: {loaded}", file=sys.stderr)
    return model


def evaluate(run: Run) -> None:
    """Prints the metrics of a finished run, of imported weights or of an ensemble on `--split`."""
    session = open_session(run)
    if session.recipe.task == "language_modelling":
        evaluate_text(session, (load_imported if run.init_from else load_finished)(session))
        return
    members = [session, *(open_session(other, strategy=session.strategy) for other in (run.ensemble or ())[1:])]
    for member in members[1:]:
        _check_same_data(session, member)
    protocols = [member.task.test_protocol for member in members]
    load = load_imported if run.init_from else load_finished
    split = chosen_split(session)
    if run.ensemble:
        views = [member.task.views(how, load(member)) for member, how in zip(members, protocols)]
        evaluation = Evaluation(session, *views)
    else:
        evaluation = evaluation_by(protocols[0], session, load(session))
    metrics = evaluation.run(split)
    further, told = at_the_end(session, evaluation, split)
    metrics |= further
    names = [member.recipe.name for member in members]
    result = {
        "experiment": names[0],
        "data": session.data,
        "split": split,
        "test_protocol": protocols[0],
        "metrics": metrics,
        **told,
    }
    if run.ensemble:
        runs = zip(names, protocols, (str(member.folder.path) for member in members))
        result["ensemble"] = [{"experiment": n, "test_protocol": p, "model_dir": d} for n, p, d in runs]
    if run.json:
        print(json.dumps(result))
        return
    what = names[0] if not run.ensemble else f"the mean of {' and '.join(names)}"
    how = ", ".join(sorted({protocol.replace("_", " ") for protocol in protocols}))
    print(f"{what} on {session.recipe.data.name}, {split}, {how} ({session.data} data)")
    for name, value in metrics.items():
        print(f"  {name:14} {value:.4f}" if isinstance(value, float) else f"  {name:14} {value}")
    if "translations" in told:
        print(shown_translations(told))


def shown_translations(told: dict[str, Any]) -> str:
    """How BLEU was computed, and some translations, as a person reads them."""
    texts = (
        f"  source       {one['source']}\n  ours         {one['ours']}\n  reference    {one['reference']}"
        for one in told["translations"]
    )
    return "\n\n".join([f"  BLEU is      {told['bleu_signature']}", *texts])


def evaluate_text(session: Session, model: keras.Model) -> None:
    """Prints the metrics of a language model on `--split`; of bytes, also what compressors make of the same bytes."""
    run, recipe, split = session.run, session.recipe, chosen_split(session)
    evaluation = TextEvaluation(session, model)
    metrics = evaluation.run(split)
    _, told = at_the_end(session, evaluation, split)
    result = {"experiment": recipe.name, "data": session.data, "split": split, "metrics": metrics, **told}
    if run.json:
        print(json.dumps(result))
        return
    print(f"{recipe.name} on {recipe.data.name}, {split}, {metrics['lanes']} lanes ({session.data} data)")
    for name, value in metrics.items():
        print(f"  {name:17} {value:.4f}" if isinstance(value, float) else f"  {name:17} {value:,}")
    if "compressors" in result:
        print("bits per character of compressors on the same bytes: " + ", ".join(result["compressors"]))
        for name in result["compressors"]["alone"]:
            print(f"  {name:17} " + "  ".join(f"{bits[name]:.4f}" for bits in result["compressors"].values()))


def compressors_on(session: Session, split: str) -> dict[str, dict[str, float]]:
    """What compressors make of a split: bits per character by how they are used, then by compressor."""
    text = session.dataset.text(split)
    bits = {"alone": compressors.bits_per_character(text)}
    if split != session.recipe.data.train_split:
        training = session.dataset.text(session.recipe.data.train_split)
        bits["after the training part"] = compressors.bits_per_character(text, training)
    return bits


def chosen_split(session: Session) -> str:
    """The split that `--split` means.

    Raises:
        UserError: the recipe has none.
    """
    name = session.run.split
    split = getattr(session.recipe.data, f"{name}_split")
    if split is None:
        raise UserError(f"--split={name}: data.{name}_split of this run is none. Name another --split.")
    return split


def _check_same_data(session: Session, other: Session) -> None:
    """Refuses to average the answers of runs to different questions."""

    def question(session):
        data = session.recipe.data
        return data.name, getattr(data, f"{session.run.split}_split")

    if question(session) != question(other):
        ours, theirs = (" ".join(map(str, question(each))) for each in (session, other))
        raise UserError(
            f"--ensemble: {session.folder.path} was tested on {ours}, {other.folder.path} on {theirs}. "
            "Name runs on the same data."
        )

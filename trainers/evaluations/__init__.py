"""How models are evaluated, a module a kind of data: on the way of training, at its end, and by `--mode=evaluate`."""

from __future__ import annotations

import keras

from trainers.evaluations.evaluation import Evaluation
from trainers.evaluations.held import HeldEvaluation
from trainers.evaluations.images import ImageEvaluation
from trainers.evaluations.regression import RegressionEvaluation
from trainers.evaluations.text import TextEvaluation
from trainers.evaluations.translation import TranslationEvaluation
from trainers.session import Session
from trainers.tasks.held_classification import HeldClassification

OF_TASKS = {  # task -> the one way to evaluate its models; of the others, classifiers of images
    "language_modelling": TextEvaluation,
    "regression": RegressionEvaluation,
    "translation": TranslationEvaluation,
}


def evaluation_by(protocol: str, session: Session, model: keras.Model) -> Evaluation:
    """How a model is evaluated by one of its task's protocols; some tasks have but one."""
    if session.recipe.task in OF_TASKS:
        return OF_TASKS[session.recipe.task](session, model)
    if isinstance(session.task, HeldClassification):
        return HeldEvaluation(session, model)
    return ImageEvaluation(session, session.task.views(protocol, model))

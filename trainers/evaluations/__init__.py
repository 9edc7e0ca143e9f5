"""How models are evaluated, a module a kind of data: on the way of training, at its end, and by `--mode=evaluate`."""

from __future__ import annotations

import keras

from trainers.session import Session
from trainers.tasks.evaluation import Evaluation
from trainers.tasks.images.evaluation import ImageEvaluation
from trainers.tasks.images.in_memory import InMemoryClassification
from trainers.tasks.images.in_memory_evaluation import InMemoryEvaluation
from trainers.tasks.regression.evaluation import RegressionEvaluation
from trainers.tasks.text.evaluation import TextEvaluation
from trainers.tasks.translation.evaluation import TranslationEvaluation

OF_TASKS = {  # task -> the one way to evaluate its models; of the others, classifiers of images
    "language_modelling": TextEvaluation,
    "regression": RegressionEvaluation,
    "translation": TranslationEvaluation,
}


def evaluation_by(protocol: str, session: Session, model: keras.Model) -> Evaluation:
    """How a model is evaluated by one of its task's protocols; some tasks have but one."""
    if session.recipe.task in OF_TASKS:
        return OF_TASKS[session.recipe.task](session, model)
    if isinstance(session.task, InMemoryClassification):
        return InMemoryEvaluation(session, model)
    return ImageEvaluation(session, session.task.views(protocol, model))

"""The networks: Keras functional models and their layers. Independent of data, training and flags."""

from tf_models import (  # noqa: F401  Importing a module registers its networks; a new network adds its line here.
    cnn5,
    efficientnet,
    inspection,
    mlp,
    preact_resnet,
    random_features,
    resnet,
    sha_rnn,
    transformer,
    two_layer,
)
from tf_models.fully_convolutional import fully_convolutional
from tf_models.registry import (
    build_backbone,
    build_model,
    list_backbones,
    list_models,
    register_classifier,
    register_model,
)
from tf_models.state import empty_state
from tf_models.weights import load_weights

__all__ = [
    "build_backbone",
    "build_model",
    "empty_state",
    "fully_convolutional",
    "inspection",
    "list_backbones",
    "list_models",
    "load_weights",
    "register_classifier",
    "register_model",
]

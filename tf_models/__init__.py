"""What is trained: Keras functional models and their layers. Knows nothing of data, training or flags."""

from tf_models import efficientnet as _efficientnet  # noqa: F401  (registers its models)
from tf_models import inspection, sha_rnn
from tf_models import resnet as _resnet  # noqa: F401
from tf_models.fully_convolutional import fully_convolutional
from tf_models.registry import build_model, list_models, register_model
from tf_models.weights import load_weights

__all__ = [
    "build_model",
    "fully_convolutional",
    "inspection",
    "list_models",
    "load_weights",
    "register_model",
    "sha_rnn",
]

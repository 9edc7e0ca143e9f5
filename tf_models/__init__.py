"""What is trained: Keras functional models and their layers. Knows nothing of data, training or flags."""

from tf_models import cnn5 as _cnn5  # noqa: F401  (registers its models)
from tf_models import efficientnet as _efficientnet  # noqa: F401
from tf_models import inspection, sha_rnn
from tf_models import mlp as _mlp  # noqa: F401
from tf_models import preact_resnet as _preact_resnet  # noqa: F401
from tf_models import random_features as _random_features  # noqa: F401
from tf_models import resnet as _resnet  # noqa: F401
from tf_models import transformer as _transformer  # noqa: F401
from tf_models import two_layer as _two_layer  # noqa: F401
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

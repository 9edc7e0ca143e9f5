"""The networks of the model suite (`test_suite.py`): every registered network, with options that make it small.

A new network adds a line to `NETWORKS`. Names that differ from another one in depth alone are `DEEPER`: the suite asks
them the same, by `pytest -m slow`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf

import tf_models

NOT_COUNTS = (0, 2.5, True, "8")
NOT_RATES = (-0.1, 1)
REFUSED = {  # option: values that no network takes
    "num_classes": (0, 2.5),
    "input_shape": ((32, 32), (0, 32, 3), (32, 32, None), 32),
    "k": NOT_COUNTS,
    "num_features": NOT_COUNTS,
    "hidden": NOT_COUNTS,
    "d_model": NOT_COUNTS,
    "layers": NOT_COUNTS,
    "heads": NOT_COUNTS,
    "num_layers": NOT_COUNTS,
    "width": (0, -1, "2", math.inf),
    "depth": (0, -1, "2", math.inf),
    "dropout": NOT_RATES,
    "hidden_dropout": NOT_RATES,
    "survival_probability": (0, 1.1, "1"),
    "shortcut": ("D", "AB", None),
    "bottleneck_stride": (3, "2x2"),
    "pool_padding": ("valid", None),
    "last_gamma": ("0", math.nan),
    "kind": ("sine", None),
    "scale": (-1.0, "pixels"),
    "shared_embeddings": ("all", None),
    "an_option_of_no_network": (1,),
}


@dataclasses.dataclass(frozen=True)
class Network:
    """How the suite builds a network.

    Attributes:
        options: of `build_model`.
        logits: shape of an example's logits.
        takes: options that have a row in `REFUSED`, besides those given.
        dtype: of the logits, under every precision policy.
    """

    options: Mapping[str, object]
    logits: tuple[int, ...]
    takes: tuple[str, ...] = ()
    dtype: str = "float32"


RESNET = Network({"num_classes": 5, "input_shape": (32, 32, 3)}, (5,), takes=("shortcut", "pool_padding", "last_gamma"))
BOTTLENECKS = dataclasses.replace(RESNET, takes=(*RESNET.takes, "bottleneck_stride"))
PLAIN = dataclasses.replace(RESNET, takes=("pool_padding", "last_gamma"))
CIFAR = Network({"num_classes": 5, "input_shape": (16, 16, 3)}, (5,), takes=("last_gamma",))
EFFICIENTNET = Network(
    {"num_classes": 7, "input_shape": (32, 32, 3), "width": 0.25, "depth": 0.3},
    (7,),
    takes=("dropout", "survival_probability"),
)
TEXT = {"num_classes": 11, "width": 8, "num_layers": 3}

NETWORKS = {
    "cnn5": Network({"k": 4, "num_classes": 5, "input_shape": (16, 16, 3)}, (5,)),
    "efficientnet": EFFICIENTNET,
    "mlp": Network({"k": 5, "num_classes": 5, "input_shape": (8, 8, 1)}, (5,)),
    "plain20_cifar": CIFAR,
    "plain_lstm": Network(TEXT, (6, 11), takes=("dropout", "hidden_dropout")),
    "preact_resnet18": Network({"k": 4, "num_classes": 5, "input_shape": (32, 32, 3)}, (5,)),
    "random_features": Network(
        {"num_features": 30, "num_classes": 5, "input_shape": (8, 8, 1)}, (5,), takes=("kind", "scale"), dtype="float64"
    ),
    "resnet18": RESNET,
    "resnet20_cifar": CIFAR,
    "resnet50": BOTTLENECKS,
    "sha_rnn": Network({**TEXT, "boom_width": 16, "memory_size": 12}, (6, 11), takes=("dropout", "hidden_dropout")),
    "transformer": Network(
        {"num_classes": 11, "d_model": 8, "layers": 1, "heads": 2}, (4, 11), takes=("shared_embeddings",)
    ),
    "two_layer": Network({"inputs": 6, "hidden": 7}, (1,)),
}
DEEPER = {
    **{f"efficientnet_{variant}": EFFICIENTNET for variant in [*(f"b{i}" for i in range(9)), "l2"]},
    "plain18": PLAIN,
    "plain34": PLAIN,
    "resnet34": RESNET,
    "resnet101": BOTTLENECKS,
    "resnet152": BOTTLENECKS,
    **{f"plain{depth}_cifar": CIFAR for depth in (32, 44, 56, 110)},
    **{f"resnet{depth}_cifar": CIFAR for depth in (32, 44, 56, 110, 1202)},
}
# Without trained statistics each block doubles the variance, which 600 of them would carry out of float32.
DEEPER["resnet1202_cifar"] = dataclasses.replace(CIFAR, options={**CIFAR.options, "last_gamma": 0.1})
EVERY = NETWORKS | DEEPER


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """What is built inside computes in `policy`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def build(name: str, **options) -> keras.Model:
    return tf_models.build_model(name, **{**EVERY[name].options, **options})


@functools.cache
def shared(name: str, policy: str = "float32") -> keras.Model:
    """One model per process, for tests that leave its weights as they are; weights are equal under every policy."""
    keras.utils.set_random_seed(0)
    with precision(policy):
        return build(name)


def inputs(model: keras.Model, batch: int):
    """Random inputs: symbols where the model reads symbols, and the empty state of a language model."""
    random = np.random.default_rng(0)

    def draw(tensor, time=6):
        shape = [batch, *(time if size is None else size for size in tensor.shape[1:])]
        if tensor.dtype == "int32":
            return tf.constant(random.integers(1, 11, shape), tf.int32)
        return tf.constant(random.normal(size=shape), tensor.dtype)

    if not isinstance(model.input, dict):
        return draw(model.input)
    if "state" in model.input:
        return {"tokens": draw(model.input["tokens"]), "state": tf_models.empty_state(model, batch)}
    return {"source": draw(model.input["source"]), "target": draw(model.input["target"], time=4)}


def logits(outputs) -> tf.Tensor:
    return outputs["logits"] if isinstance(outputs, dict) else outputs

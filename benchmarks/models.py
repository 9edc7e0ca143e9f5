"""A training step of our networks against keras.applications', side by side in one process.

    python benchmarks/models.py --model=efficientnet_b0 --batch=16 --size=224

Windows of the two alternate, so that a machine that slows down slows both. A step is forward, backward and plain SGD
on one batch that stays in memory, compiled by `tf.function`; where the peer's network normalises the images inside,
ours does so too. Prints images a second: the median over the windows, their range, and the ratio of the medians.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import tf_models  # noqa: E402
from tf_models.layers import noise  # noqa: E402

EFFICIENTNETS = {f"efficientnet_b{i}": getattr(keras.applications, f"EfficientNetB{i}") for i in range(8)}
RESNETS = {f"resnet{depth}": getattr(keras.applications, f"ResNet{depth}") for depth in (50, 101, 152)}
PEERS = EFFICIENTNETS | RESNETS


def training_step(model: keras.Model, images: tf.Tensor, labels: tf.Tensor) -> Callable[[], tf.Tensor]:
    """Returns a compiled function that does one step on the batch and returns its loss."""
    optimizer = keras.optimizers.SGD(0.01)
    optimizer.build(model.trainable_variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def step() -> tf.Tensor:
        with noise.draws(tf.stack([0, tf.cast(optimizer.iterations, tf.int32)])), tf.GradientTape() as tape:
            loss = loss_of(labels, model(images, training=True))
        variables = [variable.value for variable in model.trainable_variables]
        optimizer.apply(tape.gradient(loss, variables), model.trainable_variables)
        return loss

    return step


def ours(name: str, size: int, classes: int) -> keras.Model:
    """Our network; behind the normalisation that the training task puts before it, where the peer has one inside."""
    inputs = keras.Input((size, size, 3))
    normalised = keras.layers.Rescaling(1 / 58, offset=-2.1)(inputs) if name in EFFICIENTNETS else inputs
    network = tf_models.build_model(name, num_classes=classes, input_shape=(size, size, 3))
    return keras.Model(inputs, network(normalised))


def peer(name: str, size: int, classes: int) -> keras.Model:
    """The network of keras.applications."""
    return PEERS[name](weights=None, input_shape=(size, size, 3), classes=classes, classifier_activation=None)


def alternate(steps: dict[str, Callable[[], tf.Tensor]], windows: int, seconds: float) -> dict[str, list[float]]:
    """Times each function in turn, `windows` times for about `seconds`; returns seconds a call, one number a window."""
    for step in steps.values():
        step().numpy()
        step().numpy()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(windows):
        for name, step in steps.items():
            calls, start = 0, time.perf_counter()
            while time.perf_counter() - start < seconds:
                step().numpy()
                calls += 1
            times[name].append((time.perf_counter() - start) / calls)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="efficientnet_b0", choices=sorted(PEERS))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224, help="image side in pixels")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--windows", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a window")
    parser.add_argument("--precision", default="float32", choices=["float32", "mixed_bfloat16", "mixed_float16"])
    args = parser.parse_args()

    keras.config.set_dtype_policy(args.precision)
    random = np.random.default_rng(0)
    images = tf.constant(random.uniform(0, 255, (args.batch, args.size, args.size, 3)), tf.float32)
    labels = tf.constant(random.integers(0, args.classes, args.batch))
    contenders = {
        "ours": training_step(ours(args.model, args.size, args.classes), images, labels),
        "keras.applications": training_step(peer(args.model, args.size, args.classes), images, labels),
    }
    times = alternate(contenders, args.windows, args.seconds)
    print(f"{args.model}, batch {args.batch}, {args.size} px, {args.precision}")
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}, {os.cpu_count()} CPU cores")
    for name, window_times in times.items():
        speeds = sorted(args.batch / t for t in window_times)
        print(f"{name:20} {statistics.median(speeds):8.2f} images/s  ({speeds[0]:.2f} to {speeds[-1]:.2f})")
    ratio = statistics.median(times["keras.applications"]) / statistics.median(times["ours"])
    print(f"{'ratio':20} {ratio:8.2f}")


if __name__ == "__main__":
    main()

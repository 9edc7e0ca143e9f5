"""A training step of SHA-RNN: ours, with Keras's LSTM in it, and in PyTorch, side by side in one process on the CPU.

    python -m benchmarks.language_models --lanes=16 --segment_length=1024

Windows of the three alternate, so that a machine that slows down slows all. A step is forward, backward, clipping and
LAMB on one segment of random symbols that stays in memory; hidden states and memories, which are full from the start,
go on from step to step. The second network is ours, with `keras.layers.LSTM` in the place of our layer; it lacks the
second bias. The third is `benchmarks.pytorch_sha_rnn`. Prints bytes a second, the median over the windows and their
range, and how much faster ours is: the median over the windows of the ratio.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
import torch
import torch.nn.functional as F

import tf_models
from benchmarks import pytorch_sha_rnn
from benchmarks.models import alternate
from tf_models import sha_rnn
from tf_models.layers import noise
from trainers.optimizers.lamb import LambMinTrust
from trainers.tasks.text.task import symbol_losses

SYMBOLS = 205  # as enwik8 has them
LR, WEIGHT_DECAY, CLIP_NORM = 2e-3, 1.2e-6, 0.25
TORCH_TYPES = {"float32": torch.float32, "mixed_bfloat16": torch.bfloat16}


def keras_lstm(units: int, use_recurrent_bias: bool, name: str) -> Callable:
    """Called as our LSTM layer is: with a sequence and a state, which it returns."""
    layer = keras.layers.LSTM(units, return_sequences=True, return_state=True, name=name)
    return lambda sequence, state: layer(sequence, initial_state=list(state))


def with_keras_lstm(options: dict) -> keras.Model:
    with mock.patch.object(sha_rnn, "LSTM", keras_lstm):
        return tf_models.build_model("sha_rnn", **options)


def keras_step(model: keras.Model, tokens: np.ndarray, targets: np.ndarray) -> Callable[[], tf.Tensor]:
    """Returns a compiled function that does one step on a segment [lanes, time] and returns its loss."""
    optimizer = LambMinTrust(LR, min_trust=0.25, decay=WEIGHT_DECAY)
    optimizer.build(model.trainable_variables)
    tokens, targets = tf.constant(tokens, tf.int32), tf.constant(targets, tf.int32)
    state = {name: tf.Variable(part, trainable=False) for name, part in full_state(model, len(tokens)).items()}

    @tf.function
    def step() -> tf.Tensor:
        before = {name: tf.identity(part) for name, part in state.items()}
        with noise.draws(tf.stack([0, tf.cast(optimizer.iterations, tf.int32)])), tf.GradientTape() as tape:
            outputs = model({"tokens": tokens, "state": before}, training=True)
            loss = tf.reduce_mean(symbol_losses(model, outputs["hidden"], targets))
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, model.trainable_variables), CLIP_NORM)
        for gradient, variable in zip(gradients, model.trainable_variables):
            optimizer.update_step(gradient, variable, LR)
        optimizer.iterations.assign_add(1)
        for name, part in outputs["state"].items():
            state[name].assign(tf.cast(part, state[name].dtype))
        return loss

    return step


def full_state(model: keras.Model, lanes: int) -> dict[str, tf.Tensor]:
    """A state whose memories are full, of rows as a layer norm makes them."""
    state = tf_models.empty_state(model, lanes)
    for name, part in state.items():
        if name.endswith("_memory"):
            state[name] = tf.random.normal(part.shape)
            state[sha_rnn.MEMORY_ROWS] = tf.fill([lanes], part.shape[1])
    return state


def torch_step(options: dict, tokens: np.ndarray, targets: np.ndarray, precision: str) -> Callable[[], torch.Tensor]:
    """As `keras_step`, of PyTorch's network, which takes time before lanes."""
    model = pytorch_sha_rnn.ShaRnn(**options).train()
    optimizer = pytorch_sha_rnn.Lamb(model.parameters(), LR, WEIGHT_DECAY, min_trust=0.25)
    tokens, targets = (torch.from_numpy(symbols.T.copy()) for symbols in (tokens, targets))
    hidden, memory = model.empty_state(tokens.shape[1])
    memory = {i: torch.randn(options["memory_size"], *rows.shape[1:]) for i, rows in memory.items()}
    compute_type = TORCH_TYPES[precision]

    def step() -> torch.Tensor:
        nonlocal hidden, memory
        with torch.autocast("cpu", compute_type, enabled=compute_type != torch.float32):
            logits, _, hidden, memory = model(tokens, hidden, memory)
            loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        model.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step(CLIP_NORM)
        return loss.detach()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--boom_width", type=int, default=4096)
    parser.add_argument("--num_layers", type=int, default=4)
    parser.add_argument("--attention_layers", type=int, nargs="*", default=[2], help="from 0; none: no attention")
    parser.add_argument("--memory_size", type=int, default=5000)
    parser.add_argument("--lanes", type=int, default=16)
    parser.add_argument("--segment_length", type=int, default=1024)
    parser.add_argument("--dropout", type=float, default=0.1, help="rate at all places")
    parser.add_argument("--precision", default="float32", choices=TORCH_TYPES)
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a window; one step at least")
    args = parser.parse_args()

    tf.config.set_visible_devices([], "GPU")
    torch.set_num_threads(os.cpu_count())  # TensorFlow takes all cores by itself
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(args.precision)
    sizes = ("width", "boom_width", "num_layers", "memory_size", "dropout")
    options = {"num_classes": SYMBOLS, **{size: getattr(args, size) for size in sizes}}
    options |= {"attention_layers": tuple(args.attention_layers)}
    options |= {f"{place}_dropout": args.dropout for place in ("input", "hidden")}
    text = np.random.default_rng(0).integers(0, SYMBOLS, (args.lanes, args.segment_length + 1))
    segment = (text[:, :-1], text[:, 1:])
    contenders = {
        "ours": keras_step(tf_models.build_model("sha_rnn", **options), *segment),
        "keras.layers.LSTM": keras_step(with_keras_lstm(options), *segment),
        "PyTorch": torch_step(options, *segment, args.precision),
    }
    times = alternate(contenders, args.windows, args.seconds)

    print(" ".join(f"--{name}={value}" for name, value in vars(args).items()))
    print(
        f"TensorFlow {tf.__version__}, Keras {keras.__version__}, PyTorch {torch.__version__}; "
        f"{os.cpu_count()} CPU cores, PyTorch on {torch.get_num_threads()} threads"
    )
    for name, window_times in times.items():
        speeds = sorted(args.lanes * args.segment_length / t for t in window_times)
        ratio = statistics.median(theirs / ours for theirs, ours in zip(window_times, times["ours"]))
        print(
            f"{name:20} {statistics.median(speeds):10,.0f} bytes/s  ({speeds[0]:,.0f} to {speeds[-1]:,.0f})"
            + (f"   ours is {ratio:.2f} times as fast" if name != "ours" else "")
        )


if __name__ == "__main__":
    main()

"""The Transformer against one put together of PyTorch's own layers, with the same weights, in float64."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is loaded

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import tf_models

D_MODEL, LAYERS, HEADS, SYMBOLS = 24, 2, 4, 19


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads of PyTorch that wait for each other over tensors this small starve a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Reference(torch.nn.Module):
    """A post-norm Transformer whose decoder shares its embedding with the last layer, or does not."""

    def __init__(self, shared):
        super().__init__()
        sizes = {"dim_feedforward": 4 * D_MODEL, "dropout": 0.0, "batch_first": True, "norm_first": False}
        self.encoder, self.decoder = (
            torch.nn.ModuleList(kind(D_MODEL, HEADS, **sizes) for _ in range(LAYERS))
            for kind in (torch.nn.TransformerEncoderLayer, torch.nn.TransformerDecoderLayer)
        )
        self.source = torch.nn.Embedding(SYMBOLS, D_MODEL)
        self.target = torch.nn.Embedding(SYMBOLS, D_MODEL)
        self.output = self.target if shared else torch.nn.Embedding(SYMBOLS, D_MODEL)
        self.double()

    def forward(self, source, target):
        padding = source == 0
        later = torch.triu(torch.ones(target.shape[1], target.shape[1], dtype=torch.bool), 1)
        memory = embedded(self.source, source)
        for layer in self.encoder:
            memory = layer(memory, src_key_padding_mask=padding)
        x = embedded(self.target, target)
        for layer in self.decoder:
            x = layer(x, memory, tgt_mask=later, memory_key_padding_mask=padding)
        return torch.nn.functional.linear(x, self.output.weight)


def embedded(embedding, symbols):
    half = D_MODEL // 2
    frequencies = torch.exp(-torch.arange(half, dtype=torch.float64) * np.log(10_000) / (half - 1))
    angles = torch.outer(torch.arange(symbols.shape[1], dtype=torch.float64), frequencies)
    return embedding(symbols) * D_MODEL**0.5 + torch.cat([angles.sin(), angles.cos()], 1)


def theirs_by_our_names(reference, part):
    """Arrays `part(parameter)` of the reference, in our names and axes."""

    def dense(ours, theirs):
        return {f"{ours}kernel": part(theirs.weight).T, f"{ours}bias": part(theirs.bias)}

    def attention(name, theirs, cut):
        """Args: cut: how many features of the one product of queries, keys and values each of ours has, by prefix."""
        kernels, biases = part(theirs.in_proj_weight), part(theirs.in_proj_bias)
        arrays, begin = dense(f"{name}/output_", theirs.out_proj), 0
        for prefix, features in cut.items():
            arrays[f"{name}/{prefix}_kernel"] = kernels[begin : begin + features].T
            arrays[f"{name}/{prefix}_bias"] = biases[begin : begin + features]
            begin += features
        return arrays

    def norm(name, theirs):
        return {f"{name}_norm/gamma": part(theirs.weight), f"{name}_norm/beta": part(theirs.bias)}

    arrays = {}
    for side, stack in (("encoder", reference.encoder), ("decoder", reference.decoder)):
        for i, layer in enumerate(stack):
            name, to_self = f"{side}{i}", f"{side}{i}_attention"
            arrays |= attention(to_self, layer.self_attn, {"input": 3 * D_MODEL}) | norm(to_self, layer.norm1)
            arrays |= dense(f"{name}_expand/", layer.linear1) | dense(f"{name}_fold/", layer.linear2)
            arrays |= norm(f"{name}_fold", layer.norm2 if side == "encoder" else layer.norm3)
    for i, layer in enumerate(reference.decoder):
        to_source = f"decoder{i}_source_attention"
        arrays |= attention(to_source, layer.multihead_attn, {"query": D_MODEL, "memory": 2 * D_MODEL})
        arrays |= norm(to_source, layer.norm2)
    for name in ("source", "target", *(["output"] if reference.output is not reference.target else [])):
        arrays[f"{name}_embedding/embeddings"] = part(getattr(reference, name).weight)
    return arrays


def pair(shared):
    """The reference with random weights, biases and gains, and ours with the same."""
    torch.manual_seed(0)
    reference = Reference(shared)
    for parameter in reference.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    keras.config.set_dtype_policy("float64")
    try:
        ours = tf_models.build_model(
            "transformer",
            num_classes=SYMBOLS,
            d_model=D_MODEL,
            layers=LAYERS,
            heads=HEADS,
            shared_embeddings="decoder" if shared else "none",
        )
    finally:
        keras.config.set_dtype_policy("float32")
    arrays = theirs_by_our_names(reference, lambda parameter: parameter.detach().numpy())
    assert {weight.path for weight in ours.weights} == arrays.keys()
    for weight in ours.weights:
        weight.assign(arrays[weight.path])
    return reference, ours


def texts():
    """Sources of 7, 4 and 1 symbols, targets of 6, 5 and 2, padded; and which targets count."""
    random = np.random.default_rng(0)
    source, target = random.integers(1, SYMBOLS, (3, 7)), random.integers(1, SYMBOLS, (3, 6))
    for array, lengths in ((source, (7, 4, 1)), (target, (6, 5, 2))):
        array[np.arange(array.shape[1]) >= np.array(lengths)[:, np.newaxis]] = 0
    return source, target, target > 0


@pytest.mark.parametrize("shared", [True, False])
def test_logits_and_gradients_are_those_of_pytorchs_layers(shared):
    reference, ours = pair(shared)
    source, target, counts = texts()
    labels = np.random.default_rng(1).integers(1, SYMBOLS, target.shape)

    theirs = reference(torch.tensor(source), torch.tensor(target))
    losses = torch.nn.functional.cross_entropy(theirs.transpose(1, 2), torch.tensor(labels), reduction="none")
    (losses * torch.tensor(counts)).sum().backward()

    variables = ours.trainable_weights
    with tf.GradientTape() as tape:
        inputs = {"source": tf.constant(source, tf.int32), "target": tf.constant(target, tf.int32)}
        logits = ours(inputs, training=True)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        loss = tf.reduce_sum(losses * counts)
    gradients = tape.gradient(loss, [variable.value for variable in variables])

    np.testing.assert_allclose(logits.numpy()[counts], theirs.detach().numpy()[counts], rtol=1e-9, atol=1e-9)
    wanted = theirs_by_our_names(reference, lambda parameter: parameter.grad.numpy())
    for variable, gradient in zip(variables, gradients, strict=True):
        np.testing.assert_allclose(gradient, wanted[variable.path], rtol=1e-8, atol=1e-9, err_msg=variable.path)

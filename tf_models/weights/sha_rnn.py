"""Names of SHA-RNN's weights in its author's PyTorch model.

The author's state dict contains parameters that the forward pass never reads, the embedding twice, and a value gate
made of a vector and a matrix. After training, the gate can be collapsed: its value replaces the vector, and the matrix
is removed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import keras
import numpy as np

from tf_models.weights import files
from tf_models.weights.translation import Translation

_NORMS = {
    "lnstart": "lstm_norm",
    "lnmem": "memory_norm",
    "lnmid": "attention_norm",
    "lnff": "residual_norm",
    "lnxff": "boom_norm",
}
_IN_BLOCK = {
    **{f"{his}.weight": (ours, "gamma") for his, ours in _NORMS.items()},
    **{f"{his}.bias": (ours, "beta") for his, ours in _NORMS.items()},
    "rnn.weight_ih_l0": ("lstm", "kernel"),
    "rnn.weight_hh_l0": ("lstm", "recurrent_kernel"),
    "rnn.bias_ih_l0": ("lstm", "bias"),
    "rnn.bias_hh_l0": ("lstm", "recurrent_bias"),
    "attn.q.weight": ("attention", "query_kernel"),
    "attn.q.bias": ("attention", "query_bias"),
    "attn.qln.weight": ("attention", "query_gamma"),
    "attn.qln.bias": ("attention", "query_beta"),
    "attn.qs": ("attention", "query_gate"),
    "attn.ks": ("attention", "key_gate"),
    "attn.vs": ("attention", "value_gate"),
    "attn.vq.l1.weight": ("attention", "value_kernel"),
    "attn.vq.l1.bias": ("attention", "value_bias"),
    "ff.linear1.weight": ("boom", "kernel"),
    "ff.linear1.bias": ("boom", "bias"),
}
_OUTSIDE = {
    "encoder.weight": ("embedding", "embeddings"),
    "decoder.bias": ("embedding", "bias"),
    # Of the loss, which is a module of its own in the author's checkpoints.
    "tail_vectors": ("embedding", "tombstones"),
    "tail_bias": ("embedding", "tombstone_bias"),
}
_NEVER_READ = ("lnout", "attn.qkvs", "attn.r_gate")
_NEVER_READ_WITHOUT_ATTENTION = ("lnmem", "lnmid")


def from_author(file: files.WeightFile, model: keras.Model) -> Translation | None:
    """Renames and transposes the author's arrays; unknown names stay. Returns None for another family.

    A model with collapsed gates gets the gates' values, computed if the file has vector and matrix.

    Raises:
        ValueError: encoder and decoder have different matrices.
    """
    if ("blocks.0.rnn", "weight_ih_l0") not in file.arrays:
        return None
    his = {f"{module}.{weight}".lstrip("."): array for (module, weight), array in file.arrays.items()}
    _tie(his, file.path)
    attention = sorted({block for block, weight in map(_place, his) if weight.startswith("attn.")} - {None})
    unread = [name for name in his if _is_never_read(name, attention)]
    label = f"parameters that the author's network never reads, {sum(his[name].size for name in unread):,} numbers"
    arrays = our_arrays({name: array for name, array in his.items() if name not in unread})
    arrays |= {(label, name): his[name] for name in unread}
    targets = {variable.path for variable in model.weights}
    for block in attention:
        if f"block{block}_attention/value_kernel" not in targets:
            _collapse(arrays, f"block{block}_attention")
    return Translation(arrays, options=_options(his, attention))


def our_arrays(his: Mapping[str, np.ndarray]) -> files.Arrays:
    """Renames the author's arrays and converts their axes: kernels are transposed, gates become vectors."""
    arrays = {}
    for name, array in his.items():
        layer, weight = our_name(name)
        if weight.endswith("kernel"):
            array = array.T
        elif weight.endswith("gate"):
            array = array.reshape(-1)
        arrays[layer, weight] = array
    return arrays


def our_name(name: str) -> files.Name:
    """Returns our layer and weight for one of the author's parameters; unknown names are only split."""
    block, weight = _place(name)
    module, _, last = name.rpartition(".")
    if block is None:
        return _OUTSIDE.get(weight.removeprefix("criterion."), (module, last))
    layer, ours = _IN_BLOCK.get(weight, (None, last))
    return (f"block{block}_{layer}" if layer else module, ours)


def _tie(his: dict[str, np.ndarray], path: str) -> None:
    """Keeps the matrix shared by encoder and decoder under the encoder's name only; files may have it twice."""
    decoder = his.pop("decoder.weight", None)
    if decoder is not None and not np.array_equal(his.setdefault("encoder.weight", decoder), decoder):
        raise ValueError(
            f"{path}: decoder.weight differs from encoder.weight, but SHA-RNN has one matrix for both; use a file of a "
            "model with tied weights"
        )


def _place(name: str) -> tuple[int | None, str]:
    """Splits blocks.2.attn.qs into 2 and attn.qs; the number is None outside blocks."""
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    return (int(match.group(1)), match.group(2)) if match else (None, name)


def _is_never_read(name: str, attention: list[int]) -> bool:
    block, weight = _place(name)
    if block is None:
        return False
    return weight.startswith(_NEVER_READ if block in attention else _NEVER_READ + _NEVER_READ_WITHOUT_ATTENTION)


def _collapse(arrays: files.Arrays, layer: str) -> None:
    """Replaces vector g and its matrix by sigmoid(f) * tanh(c), where [c, f] = sigmoid(g) kernel + bias.

    Without a matrix, g is collapsed already; arrays that do not match stay, to be refused later.
    """
    gate, kernel, bias = (arrays.get((layer, f"value_{part}")) for part in ("gate", "kernel", "bias"))
    if gate is None or kernel is None or bias is None:
        return
    if kernel.shape != (gate.size, 2 * gate.size) or bias.shape != kernel.shape[1:]:
        return
    c, f = np.split(_sigmoid(gate) @ kernel.astype("float64") + bias.astype("float64"), 2)
    arrays[layer, "value_gate"] = _sigmoid(f) * np.tanh(c)
    del arrays[layer, "value_kernel"], arrays[layer, "value_bias"]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x.astype("float64")))


def _options(his: dict[str, np.ndarray], attention: list[int]) -> str:
    """Names the options of a model that fits the file, as arguments of `build_model` and as flags."""
    sizes = {
        "width": his["blocks.0.rnn.weight_ih_l0"].shape[-1],
        "boom_width": len(his.get("blocks.0.ff.linear1.weight", ())),
        "num_layers": 1 + max(block for block, _ in map(_place, his) if block is not None),
    }
    arguments = {**sizes, "attention_layers": tuple(attention)}
    if "encoder.weight" in his:
        arguments["num_classes"] = len(his["encoder.weight"])
    if any(f"blocks.{block}.attn.vq.l1.weight" not in his for block in attention):
        arguments["collapsed"] = True
    flags = {**sizes, "attention_layers": ",".join(map(str, attention)) or "none"}
    return (
        ", ".join(f"{argument}={value}" for argument, value in arguments.items())
        + f" ({' '.join(f'--set=model.{field}={value}' for field, value in flags.items())})"
    )

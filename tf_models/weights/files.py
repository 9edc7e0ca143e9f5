"""Reads weight files of every supported kind into arrays, with the names in the file.

A name is a pair of the layer or module and the weight in it. Keras 3 numbers the weights of a layer; the second part is
then the number. Names are translated, and weights checked and assigned, in other modules for all kinds alike.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import glob
import io
import os
import re
import zipfile
from collections.abc import Iterator

import h5py
import numpy as np
import tensorflow as tf
from safetensors import SafetensorError, safe_open

from tf_models.literal_paths import literal

Name = tuple[str, str | int]
Arrays = dict[Name, np.ndarray]
Counts = collections.Counter[str]

KERAS, TF1, PYTORCH = "Keras", "TF1 checkpoint", "safetensors"
ALLOWED = (
    "allowed: a .keras, .weights.h5 or .h5 file of Keras, a .safetensors file with PyTorch's names, a TF1 checkpoint "
    "(prefix, .index file or folder), a run folder with model.keras"
)
_AVERAGE = "ExponentialMovingAverage"
_KERAS2_NAMES = {"depthwise_kernel": "kernel"}


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """The weights in a file; `ignored` counts, by label, entries that are not weights of a network."""

    path: str
    kind: str
    arrays: Arrays
    ignored: Counts


def read(path: str | os.PathLike) -> WeightFile:
    """Reads a weight file of any supported kind.

    Raises:
        FileNotFoundError: `path` does not exist, or is a folder without weights.
        ValueError: the file is of an unknown kind or damaged.
    """
    path = os.path.expanduser(os.fspath(path))
    if os.path.isdir(path):
        path = _file_in(path)
    prefix = re.sub(r"\.(index|data-\d{5}-of-\d{5})$", "", path)
    if os.path.exists(prefix + ".index"):
        path, kind, reader = prefix, TF1, _tf1
    elif not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such file; {ALLOWED}")
    elif path.endswith((".keras", ".h5", ".hdf5")):
        kind, reader = KERAS, _keras
    elif path.endswith(".safetensors"):
        kind, reader = PYTORCH, _safetensors
    else:
        raise ValueError(f"{path}: not a known kind of weight file; {ALLOWED}; a PyTorch .pth must be converted first")
    with _damage_named(path, kind):
        arrays, ignored = reader(path)
    return WeightFile(path=path, kind=kind, arrays=arrays, ignored=ignored)


def keras_layout(array: np.ndarray, is_depthwise: bool) -> np.ndarray:
    """Transposes a PyTorch weight to the axis order of Keras; vectors stay unchanged.

    Convolution [out, in, height, width], depthwise convolution [channels, 1, height, width], dense layer [out, in].
    """
    if array.ndim == 4:
        return array.transpose((2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0))
    return array.T if array.ndim == 2 else array


def _file_in(folder: str) -> str:
    model = os.path.join(folder, "model.keras")
    if os.path.exists(model):
        return model
    # The published archives' own `checkpoint` file may name a path of the machine that wrote it.
    latest = tf.train.get_checkpoint_state(folder)
    if latest and os.path.exists(f"{latest.model_checkpoint_path}.index"):
        return latest.model_checkpoint_path
    found = sorted(glob.glob(os.path.join(glob.escape(folder), "*.index")))
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{folder}: holds {len(found)} checkpoints; name one of them, e.g. {found[-1]}")
    raise FileNotFoundError(f"{folder}: neither model.keras nor a TF1 checkpoint is in this folder; {ALLOWED}")


@contextlib.contextmanager
def _damage_named(path: str, kind: str) -> Iterator[None]:
    """Context that turns a library's error about a damaged file into one line that names the file."""
    try:
        yield
    except PermissionError:
        raise
    except (OSError, RuntimeError, LookupError, zipfile.BadZipFile, tf.errors.OpError, SafetensorError) as error:
        cause = str(error).strip().partition("\n")[0]
        raise ValueError(f"{path}: damaged, or not a {kind} file ({cause}); fetch or write it again") from error


def _keras(path: str) -> tuple[Arrays, Counts]:
    source = path
    if path.endswith(".keras"):
        with zipfile.ZipFile(path) as archive:
            source = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(source, "r") as root:
        if "model_weights" in root:
            arrays, _ = _keras2_layers(root["model_weights"])
            ignored = collections.Counter(name.partition("/")[0] for name, _ in _datasets(root))
            del ignored["model_weights"]
            return arrays, ignored
        # Keras splits a list of names that is too long for HDF5 into layer_names0, layer_names1, ..
        if any(attribute.startswith("layer_names") for attribute in root.attrs):
            return _keras2_layers(root)
        return _keras3_layers(root, path)


def _datasets(root: h5py.Group) -> list[tuple[str, h5py.Dataset]]:
    found = []

    def visit(name: str, node: h5py.Group | h5py.Dataset) -> None:
        if isinstance(node, h5py.Dataset):
            found.append((name, node))

    root.visititems(visit)
    return found


def _array(dataset: h5py.Dataset) -> np.ndarray:
    # HDF5 has no bfloat16: Keras stores raw bytes and says so beside them.
    return dataset[()].view(tf.bfloat16.as_numpy_dtype) if dataset.attrs.get("dtype") == "bfloat16" else dataset[()]


def _keras2_layers(root: h5py.Group) -> tuple[Arrays, Counts]:
    """Reads <layer>/<path of the weight>, where the path repeats the layer's name in most versions."""
    arrays = {}
    for name, dataset in _datasets(root):
        group, _, weight_path = name.partition("/")
        layer, _, weight = weight_path.rpartition("/")
        weight = weight.removesuffix(":0")
        arrays[layer or group, _KERAS2_NAMES.get(weight, weight)] = _array(dataset)
    return arrays, collections.Counter()


def _keras3_layers(root: h5py.Group, path: str) -> tuple[Arrays, Counts]:
    """Reads layers/<class>_<n>/vars/<position>; the layer's own name is an attribute of `vars`."""
    arrays: Arrays = {}
    ignored: Counts = collections.Counter()
    for name, dataset in _datasets(root):
        *owner, _, position = name.split("/")
        if owner[:1] not in (["layers"], ["_layer_checkpoint_dependencies"]):
            ignored[name.partition("/")[0]] += 1
        elif "seed_generator" in owner:
            ignored["seed_generator"] += 1
        else:
            arrays[_layer_name(root, owner, path), int(position) if position.isdigit() else position] = _array(dataset)
    return arrays, ignored


def _layer_name(root: h5py.Group, owner: list[str], path: str) -> str:
    """Joins the names from the layer down to the sublayer that owns a weight, without the models around them."""
    start = max((i for i, group in enumerate(owner) if group == "layers"), default=0) + 1
    holders = [root.get("/".join([*owner[:end], "vars"])) for end in range(start + 1, len(owner) + 1)]
    names = [holder.attrs.get("name") for holder in holders if holder is not None]
    if None in names or not names:
        raise ValueError(
            f"{path}: has no layer names, as Keras before 3.6 wrote it; load it with the Keras that wrote it and save "
            "the model as .h5, which has them"
        )
    return "/".join(names)


def _tf1(prefix: str) -> tuple[Arrays, Counts]:
    """Reads variables, or their moving averages if the file has them, without optimizer slots."""
    with literal(prefix) as readable:
        return _tf1_weights(tf.train.load_checkpoint(readable), prefix)


def _tf1_weights(reader, prefix: str) -> tuple[Arrays, Counts]:
    names = reader.get_variable_to_shape_map()
    if "_CHECKPOINTABLE_OBJECT_GRAPH" in names:
        raise ValueError(f"{prefix}: a TF2 checkpoint of objects, which has no names of layers; {ALLOWED}")
    arrays: Arrays = {}
    ignored: Counts = collections.Counter()
    for name in names:
        parent, _, last = name.rpartition("/")
        if last == _AVERAGE:
            module, _, weight = parent.rpartition("/")
            arrays[module, weight] = reader.get_tensor(name)
            ignored["copies that are not averaged"] += parent in names
        elif parent in names:
            ignored[f"*/{last}"] += 1
        elif f"{name}/{_AVERAGE}" not in names:
            arrays[parent, last] = reader.get_tensor(name)
    return arrays, +ignored


def _safetensors(path: str) -> tuple[Arrays, Counts]:
    arrays: Arrays = {}
    ignored: Counts = collections.Counter()
    with safe_open(path, framework="np") as file:
        for name in file.keys():  # noqa: SIM118  (the file is no mapping)
            module, _, weight = name.rpartition(".")
            if weight == "num_batches_tracked":
                ignored[weight] += 1
            else:
                arrays[module, weight] = file.get_tensor(name)
    return arrays, ignored

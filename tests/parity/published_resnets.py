"""Published ResNets for tests: keras.applications' and torchvision's networks, and files as they write them.

torchvision itself is not needed: its networks are written down here, with its names.
"""

import h5py
import keras
import numpy as np
import safetensors.numpy
import torch
from torch import nn

from tests.tf_models.suite import precision
from tf_models import build_model

SIDE = 49  # of the 25 rows that conv1 makes, padding on both sides pools 13, padding at the end 12
CLASSES = 7
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
KERAS_OPTIONS = {"bottleneck_stride": "1x1", "pool_padding": "symmetric"}
KERAS_BUILDERS = {
    50: keras.applications.ResNet50,
    101: keras.applications.ResNet101,
    152: keras.applications.ResNet152,
}


class Block(nn.Module):
    """torchvision's BasicBlock or Bottleneck; `convs` has kernel, filters and stride of each convolution."""

    def __init__(self, channels, convs):
        super().__init__()
        self.depth = len(convs)
        before, strides = channels, 1
        for number, (kernel, filters, stride) in enumerate(convs, start=1):
            self.add_module(f"conv{number}", nn.Conv2d(before, filters, kernel, stride, kernel // 2, bias=False))
            self.add_module(f"bn{number}", nn.BatchNorm2d(filters))
            before, strides = filters, strides * stride
        self.downsample = None
        if strides > 1 or channels != before:
            self.downsample = nn.Sequential(nn.Conv2d(channels, before, 1, strides, bias=False), nn.BatchNorm2d(before))

    def forward(self, x):
        y = x
        for number in range(1, self.depth + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = torch.relu(y) if number < self.depth else y
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class TorchvisionResNet(nn.Module):
    """torchvision.models.resnet18 to resnet152: images [batch, 3, height, width] to logits [batch, classes]."""

    def __init__(self, depth, classes=CLASSES):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for stage, count in enumerate(BLOCKS[depth]):
            blocks, width = [], 64 * 2**stage
            for number in range(count):
                stride = 2 if stage > 0 and number == 0 else 1
                if depth < 50:
                    convs = [(3, width, stride), (3, width, 1)]
                else:
                    convs = [(1, width, 1), (3, width, stride), (1, 4 * width, 1)]
                blocks.append(Block(channels, convs))
                channels = convs[-1][1]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def ours_of(depth, policy="float64", num_classes=CLASSES, **options):
    with precision(policy):
        return build_model(f"resnet{depth}", num_classes=num_classes, input_shape=(SIDE, SIDE, 3), **options)


def rgb_images():
    """RGB images [2, SIDE, SIDE, 3] in 0..255."""
    return np.random.default_rng(2).uniform(0, 255, (2, SIDE, SIDE, 3))


def reference_of_keras(depth):
    """Builds a model whose epsilon matters; none of its weights has its default value, all are float32 numbers."""
    keras.utils.set_random_seed(1)
    with precision("float64"):
        model = KERAS_BUILDERS[depth](
            weights=None, input_shape=(SIDE, SIDE, 3), classes=CLASSES, classifier_activation=None
        )
    random = np.random.default_rng(1)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for variable in model.weights:
        if variable.name == "kernel":
            variable.assign(variable * (1 if variable.path.startswith("predictions") else 0.1))
        else:
            low, high = (0.5, 1.5) if variable.name == "gamma" else (-0.3, 0.3)
            variable.assign(random.uniform(low, high, variable.shape))
    for norm in norms:
        norm.momentum = 0.0
    model(images_for_keras(), training=True)
    for variable in model.weights:
        variable.assign(variable.numpy().astype("float32"))
    return model


def images_for_keras():
    return keras.applications.resnet.preprocess_input(rgb_images())


def write_keras2(path, arrays):
    """Writes the layout of the published files: weights only, as TensorFlow's Keras 2 named them."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in dict.fromkeys(layer for layer, _ in arrays)]
        for (layer, weight), array in arrays.items():
            file[f"{layer}/{layer}/{weight}:0"] = array.astype("float32")


def by_layer(model):
    return {tuple(variable.path.split("/")): variable.numpy() for variable in model.weights}


def torchvision_options(depth):
    return {"pool_padding": "symmetric"} | ({"bottleneck_stride": "3x3"} if depth >= 50 else {})


def write_torchvision(path, depth, **changed):
    """Writes zeros in the shapes of torchvision's network; of `changed`, None takes a tensor out."""
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in TorchvisionResNet(depth).state_dict().items()}
    arrays = {name: np.zeros(shape, "float16") for name, shape in shapes.items()} | changed
    safetensors.numpy.save_file({name: array for name, array in arrays.items() if array is not None}, path)
    return path

"""The numbers of the family, against the paper's tables and counts to the unit."""

import keras
import pytest

import tf_models
from tf_models import inspection

pytestmark = pytest.mark.usefixtures("weights_not_drawn")

OPTION_A, OPTION_B, OPTION_C = ((("shortcut", option),) for option in "ABC")
STRIDE_IN_3X3 = (("bottleneck_stride", "3x3"),)
# (name, options): trainable parameters, batch norm's moving statistics, multiply-adds; 1000 classes at 224 pixels.
# Rows of option B have torchvision's number of parameters. Table 1 prints 1.8, 3.6, 3.8, 7.6 and 11.3e9 multiply-adds.
IMAGENET = {
    ("plain18", ()): (11_515_688, 7_808, 1_794_805_760),
    ("resnet18", OPTION_A): (11_515_688, 7_808, 1_794_805_760),
    ("resnet18", OPTION_B): (11_689_512, 9_600, 1_814_073_344),
    ("plain34", ()): (21_623_848, 15_232, 3_644_493_824),
    ("resnet34", OPTION_A): (21_623_848, 15_232, 3_644_493_824),
    ("resnet34", OPTION_B): (21_797_672, 17_024, 3_663_761_408),
    ("resnet34", OPTION_C): (22_716_840, 22_784, 3_830_747_136),
    ("resnet50", ()): (25_557_032, 53_120, 3_857_973_248),
    ("resnet50", STRIDE_IN_3X3): (25_557_032, 53_120, 4_089_184_256),
    ("resnet101", ()): (44_549_160, 105_344, 7_570_194_432),
    ("resnet101", STRIDE_IN_3X3): (44_549_160, 105_344, 7_801_405_440),
    ("resnet152", ()): (60_192_808, 151_424, 11_282_415_616),
    ("resnet152", STRIDE_IN_3X3): (60_192_808, 151_424, 11_513_626_624),
}
# Layers: the same; 10 classes at 32 pixels.
CIFAR = {
    20: (269_722, 1_376, 40_551_040),
    32: (464_154, 2_272, 68_862_592),
    44: (658_586, 3_168, 97_174_144),
    56: (853_018, 4_064, 125_485_696),
    110: (1_727_962, 8_096, 252_887_680),
    1202: (19_421_274, 89_632, 2_829_238_912),
}
PARAMETERS_OF_TABLE_6 = {20: 0.27e6, 32: 0.46e6, 44: 0.66e6, 56: 0.85e6, 110: 1.7e6, 1202: 19.4e6}
CIFAR_NAMES = [f"resnet{depth}_cifar" for depth in CIFAR] + [f"plain{depth}_cifar" for depth in CIFAR if depth < 1202]

SLOW_ROWS = [
    row
    for row in IMAGENET
    if row[0] in ("plain34", "resnet101") or row == ("resnet34", OPTION_A) or row == ("resnet152", STRIDE_IN_3X3)
]
FAST_CIFAR = ("resnet20_cifar", "plain20_cifar", "resnet56_cifar", "resnet110_cifar")


def counts(model: keras.Model) -> tuple[int, int, int]:
    counted = inspection.parameters(model)
    return counted.trainable, counted.non_trainable, inspection.multiply_adds(model)


def depth_of(name: str) -> int:
    return int("".join(filter(str.isdigit, name)))


def parameter(value, identifier: str, slow: bool):
    return pytest.param(value, id=identifier, marks=pytest.mark.slow if slow else ())


@pytest.fixture(
    scope="module",
    params=[parameter(row, " ".join([row[0], *dict(row[1]).values()]), slow=row in SLOW_ROWS) for row in IMAGENET],
)
def imagenet_row(request):
    keras.backend.clear_session()
    name, options = request.param
    return request.param, tf_models.build_model(name, **dict(options))


@pytest.fixture(scope="module", params=[parameter(name, name, slow=name not in FAST_CIFAR) for name in CIFAR_NAMES])
def cifar_row(request):
    keras.backend.clear_session()
    return depth_of(request.param), tf_models.build_model(request.param)


def test_an_imagenet_network_counts_to_the_unit(imagenet_row):
    row, model = imagenet_row
    assert counts(model) == IMAGENET[row]


def test_the_name_of_an_imagenet_network_counts_its_layers(imagenet_row):
    (name, _), model = imagenet_row
    assert len(main_path(model)) + 1 == depth_of(name)


def test_a_cifar_network_counts_to_the_unit(cifar_row):
    depth, model = cifar_row
    assert counts(model) == CIFAR[depth]


def test_a_cifar_network_follows_the_closed_form(cifar_row):
    depth, model = cifar_row
    n = (depth - 2) // 6
    assert counts(model)[:2] == (97_216 * n - 21_926, 448 * n + 32)


def test_the_parameters_are_those_printed_in_table_6(cifar_row):
    depth, model = cifar_row
    assert inspection.parameters(model).trainable == pytest.approx(PARAMETERS_OF_TABLE_6[depth], rel=0.02)


def test_the_name_of_a_cifar_network_counts_its_layers(cifar_row):
    depth, model = cifar_row
    assert len(main_path(model)) + 1 == depth


def main_path(model: keras.Model) -> list[keras.Layer]:
    """The convolutions but those of shortcuts."""
    convs = [layer for layer in model.layers if layer.name.endswith("_conv")]
    return [conv for conv in convs if not conv.name.endswith("_0_conv")]


def test_a_network_counts_the_same_when_told_its_size_later():
    model = tf_models.build_model("resnet18", input_shape=(None, None, 3), shortcut="A")
    assert inspection.multiply_adds(model, (224, 224, 3)) == IMAGENET["resnet18", OPTION_A][2]


def test_option_a_keeps_nothing_in_memory():
    """Every map of 16 channels at 32 pixels and so on: conv1 and its ReLU, then four to a block, but no sum."""
    maps = 16 * 32**2 * (2 + 12) + 32 * 16**2 * 12 + 64 * 8**2 * 12
    padded = 16 * 34**2 + 32 * 18**2  # what the convolutions of stride 2 read
    expected = 3 * 32**2 + maps + padded + 64
    assert inspection.activation_bytes(tf_models.build_model("resnet20_cifar"), batch=2) == 2 * 4 * expected

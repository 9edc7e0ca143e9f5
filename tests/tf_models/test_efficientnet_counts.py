"""The numbers of the family, against the paper's tables and a count that knows nothing of Keras."""

import keras
import pytest

import tf_models
from tf_models import inspection

pytestmark = pytest.mark.usefixtures("weights_not_drawn")

# Pixels, stem, channels of stages 2 to 8, head, blocks a stage: what the authors' coefficients come to.
FAMILY = {
    "b0": (224, 32, (16, 24, 40, 80, 112, 192, 320), 1280, (1, 2, 2, 3, 3, 4, 1)),
    "b1": (240, 32, (16, 24, 40, 80, 112, 192, 320), 1280, (2, 3, 3, 4, 4, 5, 2)),
    "b2": (260, 32, (16, 24, 48, 88, 120, 208, 352), 1408, (2, 3, 3, 4, 4, 5, 2)),
    "b3": (300, 40, (24, 32, 48, 96, 136, 232, 384), 1536, (2, 3, 3, 5, 5, 6, 2)),
    "b4": (380, 48, (24, 32, 56, 112, 160, 272, 448), 1792, (2, 4, 4, 6, 6, 8, 2)),
    "b5": (456, 48, (24, 40, 64, 128, 176, 304, 512), 2048, (3, 5, 5, 7, 7, 9, 3)),
    "b6": (528, 56, (32, 40, 72, 144, 200, 344, 576), 2304, (3, 6, 6, 8, 8, 11, 3)),
    "b7": (600, 64, (32, 48, 80, 160, 224, 384, 640), 2560, (4, 7, 7, 10, 10, 13, 4)),
    "b8": (672, 72, (32, 56, 88, 176, 248, 424, 704), 2816, (4, 8, 8, 11, 11, 15, 4)),
    "l2": (800, 136, (72, 104, 176, 344, 480, 824, 1376), 5504, (6, 11, 11, 16, 16, 22, 6)),
}
# Trainable, batch norm's moving statistics, multiply-adds in millions; 1000 classes.
COUNTS = {
    "b0": (5_288_548, 42_016, 386),
    "b1": (7_794_184, 62_048, 687),
    "b2": (9_109_994, 67_568, 994),
    "b3": (12_233_232, 87_296, 1_827),
    "b4": (19_341_616, 125_200, 4_394),
    "b5": (30_389_784, 172_736, 10_266),
    "b6": (43_040_704, 224_432, 19_068),
    "b7": (66_347_960, 310_720, 37_746),
    "b8": (87_413_142, 380_032, 62_597),
    "l2": (480_309_308, 1_090_688, 475_704),
}
# Table 1: expand, kernel, stride.
STAGES = ((1, 3, 1), (6, 3, 2), (6, 5, 2), (6, 3, 2), (6, 5, 1), (6, 5, 2), (6, 3, 1))


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow if name == "l2" else ()) for name in FAMILY]
)
def family_member(request):
    keras.backend.clear_session()
    return request.param, tf_models.build_model(f"efficientnet_{request.param}")


def by_hand(name: str, classes: int = 1000) -> tuple[int, int, int]:
    """Trainable parameters, moving statistics and multiply-adds, from the table alone."""
    size, stem, channels, head, repeats = FAMILY[name]
    size = -(-size // 2)
    weights, norms, multiply_adds = 27 * stem, stem, size**2 * 27 * stem
    entering = stem
    for (expand, kernel, first_stride), leaving, count in zip(STAGES, channels, repeats, strict=True):
        for repeat in range(count):
            stride = first_stride if repeat == 0 else 1
            inside, squeezed = entering * expand, max(1, entering // 4)
            if expand > 1:
                weights, norms = weights + entering * inside, norms + inside
                multiply_adds += size**2 * entering * inside
            size = -(-size // stride)
            weights += inside * (kernel**2 + 2 * squeezed + leaving) + squeezed + inside
            norms += inside + leaving
            multiply_adds += size**2 * inside * (kernel**2 + leaving) + 2 * inside * squeezed
            entering = leaving
    weights, norms = weights + entering * head + (head + 1) * classes, norms + head
    multiply_adds += size**2 * entering * head + head * classes
    return weights + 2 * norms, 2 * norms, multiply_adds


def test_the_parameters_are_those_of_the_paper_s_network(family_member):
    name, model = family_member
    trainable, statistics, _ = COUNTS[name]
    counted = inspection.parameters(model)
    assert (counted.trainable, counted.non_trainable) == (trainable, statistics)
    assert counted.total == trainable + statistics == model.count_params()


def test_the_multiply_adds_are_those_of_the_paper_s_network(family_member):
    name, model = family_member
    assert round(inspection.multiply_adds(model) / 1e6) == COUNTS[name][2]


def test_every_count_equals_the_one_made_by_hand(family_member):
    name, model = family_member
    counted = inspection.parameters(model)
    assert (counted.trainable, counted.non_trainable, inspection.multiply_adds(model)) == by_hand(name)


def test_the_model_is_built_for_its_own_resolution(family_member):
    name, model = family_member
    assert model.input_shape == (None, FAMILY[name][0], FAMILY[name][0], 3)
    assert model.output_shape == (None, 1000)


def test_the_feature_extractor_of_b0_has_all_but_the_classifier():
    model = tf_models.build_model("efficientnet_b0", include_top=False)
    counted = inspection.parameters(model)
    assert (counted.trainable, counted.total) == (4_007_548, 4_049_564)
    assert model.output_shape == (None, 1280)


@pytest.mark.parametrize("classes", [1, 10, 37])
def test_each_class_of_b0_costs_1281_parameters(classes):
    model = tf_models.build_model("efficientnet_b0", num_classes=classes)
    assert inspection.parameters(model).trainable == 4_007_548 + 1281 * classes


def test_the_multiply_adds_of_b0_at_other_sizes():
    model = tf_models.build_model("efficientnet_b0", input_shape=(None, None, 3))
    expected = {32: 9.7, 64: 33.2, 96: 72.4, 128: 127.3, 160: 197.8, 192: 284.0}
    counted = {size: inspection.multiply_adds(model, (size, size, 3)) for size in expected}
    assert {size: round(count / 1e6, 1) for size, count in counted.items()} == expected


@pytest.mark.parametrize(("width", "parameters"), [(1.4, 9_670_210), (1.8, 14_847_064)])
def test_b0_widened_alone_has_the_parameters_of_figure_3(width, parameters):
    model = tf_models.build_model("efficientnet", width=width)
    assert inspection.parameters(model).trainable == parameters


@pytest.mark.parametrize(("depth", "parameters"), [(2, 10_222_984), (8, 39_829_600)])  # 8: 2,000 layers in a row
def test_b0_deepened_alone_has_the_parameters_of_figure_3(depth, parameters):
    model = tf_models.build_model("efficientnet", depth=depth)
    assert inspection.parameters(model).trainable == parameters

"""Standard deviations of layer responses against NumPy, and against what batch norm's gamma and beta say."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from flags.run import parse
from tf_models import resnet
from trainers.data import images, stream
from trainers.session import open_session
from trainers.tasks.images import layer_responses

IMAGES = 30  # fewer than a batch: the rest of it is padding, which must not count


@pytest.fixture
def session(digits_dir):
    return open_session(
        parse(
            [
                "main", "--experiment=plain20_cifar10", "--data=sample", "--strategy=one_device", "--devices=cpu:0",
                "--quiet", f"--data_dir={digits_dir}", f"--set=data.test_split=test[:{IMAGES}]",
                "--set=data.train_split=train[:50]", "--set=model.resolution=16",
            ]
        )
    )  # fmt: skip


@pytest.fixture
def model():
    """A network of one block a stage whose batch norms are unlike one another and unlike the identity."""
    keras.utils.set_random_seed(0)
    model = resnet.cifar_resnet(8, input_shape=(16, 16, 3))
    random = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in ("gamma", "beta", "moving_mean"):
            weight.assign(random.normal(1 if weight.name == "gamma" else 0, 0.5, weight.shape))
    return model


def inputs(session):
    """The test images as the network gets them: [images, 16, 16, 3]."""
    data, mean = session.recipe.data, session.task.mean_image
    examples = stream.examples(session.task.dataset.split(data.test_split))
    return session.task.normalise(
        tf.stack([images.evaluation_image(example["image"], data, 16, mean) for example in examples])
    )


def output_of(model, layer, x):
    """Everything that a layer puts out, in float64."""
    return keras.Model(model.inputs, model.get_layer(layer).output)(x, training=False).numpy().astype("float64")


def test_deviations_are_those_of_all_images_positions_and_channels(session, model):
    measured = layer_responses.measure(session.task, session.strategy, model)
    x = inputs(session)
    assert len(x) == IMAGES
    for name, std in measured.items():
        # 1e-4: another compiled program rounds the float32 activations otherwise.
        assert std == pytest.approx(output_of(model, name, x).std(), rel=1e-4), name


def test_every_convolution_of_the_main_path_has_one_in_its_order(session, model):
    assert list(layer_responses.measure(session.task, session.strategy, model)) == [
        "conv1_bn",
        *(f"conv{stage}_block1_{number}_bn" for stage in (2, 3, 4) for number in (1, 2)),
    ]


@pytest.mark.parametrize("depth", [20, 56])
def test_a_network_of_6n_plus_2_layers_has_6n_plus_1(session, depth):
    model = resnet.cifar_plain(depth, input_shape=(16, 16, 3))
    assert len(layer_responses.measure(session.task, session.strategy, model)) == depth - 1


def test_projections_on_shortcuts_do_not_count(session):
    model = resnet.basic_resnet((1, 1, 1, 1), input_shape=(16, 16, 3), shortcut="B")
    assert "conv3_block1_0_bn" in [layer.name for layer in model.layers]
    measured = layer_responses.measure(session.task, session.strategy, model)
    assert len(measured) == 9
    assert not [name for name in measured if name.endswith("_0_bn")]


def test_with_matching_statistics_gamma_and_beta_give_the_deviation(session, model):
    before = output_of(model, "conv1_conv", inputs(session))
    norm = model.get_layer("conv1_bn")
    norm.moving_mean.assign(before.mean(axis=(0, 1, 2)))
    norm.moving_variance.assign(before.var(axis=(0, 1, 2)))
    expected = np.sqrt(np.mean(norm.gamma.numpy() ** 2) + np.var(norm.beta.numpy()))
    # 1e-4: batch norm adds its epsilon of 1e-5 to variances of some hundred, and computes in float32.
    assert layer_responses.measure(session.task, session.strategy, model)["conv1_bn"] == pytest.approx(
        expected, rel=1e-4
    )

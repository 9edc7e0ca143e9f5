"""`load_weights`: what is read, what is refused and what is said about it."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from tf_models import build_model
from tf_models.weights import load_weights
from tf_models.weights.files import keras_layout


def _build(num_classes=10, width=0.25, depth=0.1, **options):
    """An EfficientNet with one narrow block a stage; above depth 1, its second stage has more."""
    return build_model(
        "efficientnet", num_classes=num_classes, input_shape=(32, 32, 3), width=width, depth=depth, **options
    )


@pytest.fixture(scope="module")
def source():
    model = _build()
    random = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(random.uniform(0.5, 1.5, variable.shape))
    return model


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    source.save(folder / "model.keras")
    source.save_weights(folder / "ours.weights.h5")
    source.save(folder / "ours.h5")
    _write_safetensors(folder / "ours.safetensors")
    _write_tf1(source, folder / "model.ckpt")
    return folder


@pytest.fixture(scope="module")
def built():
    return _build()


@pytest.fixture
def model(built):
    """A model like `source` with all weights zero."""
    for variable in built.weights:
        variable.assign(keras.ops.zeros_like(variable))
    return built


def _write_safetensors(path, dtype="float32"):
    """Writes a stem with all weights 1.25, as PyTorch has it."""
    arrays = {f"_bn0.{name}": np.full(8, 1.25, dtype) for name in ("weight", "bias", "running_mean", "running_var")}
    save_file(arrays | {"_conv_stem.weight": np.full((8, 3, 3, 3), 1.25, dtype)}, path)


def _write_tf1(model, prefix):
    """Writes the stem alone under the authors' name."""
    kernel = tf.convert_to_tensor(model.get_layer("stem_conv").kernel)
    names = ["efficientnet-b0/stem/conv2d/kernel"]
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""], tensors=[kernel])


def _values(model):
    return {variable.path: variable.numpy() for variable in model.weights}


def _equal(one, other):
    assert one.keys() == other.keys()
    return all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["model.keras", "ours.weights.h5", "ours.h5", ""])
def test_own_files_and_run_folders_give_the_same_weights(name, folder, source, model):
    loaded = load_weights(model, folder / name)
    assert _equal(_values(model), _values(source))
    assert (loaded.assigned, loaded.initial, loaded.unused) == (len(source.weights), (), {})


def test_an_optimizer_in_the_file_is_counted_and_not_used(tmp_path, model):
    trained = _build()
    trained.compile("adam", "mse")
    trained.optimizer.build(trained.trainable_variables)
    for name in ("model.keras", "model.h5"):
        trained.save(tmp_path / name)
        unused = load_weights(model, tmp_path / name).unused
        assert len(unused) == 1 and next(iter(unused)).startswith("optimizer")


def test_another_number_of_classes_keeps_the_models_head_and_says_so(folder, source):
    model = _build(num_classes=7)
    initial = _values(model)
    loaded = load_weights(model, folder / "model.keras")
    values = _values(model)
    assert np.array_equal(values["predictions/kernel"], initial["predictions/kernel"])
    assert np.array_equal(values["top_bn/gamma"], _values(source)["top_bn/gamma"])
    assert loaded.initial == ("predictions",)
    assert (loaded.file_classes, loaded.model_classes) == (10, 7)
    assert "head replaced: 10 -> 7 classes" in str(loaded)
    assert "not used: predictions (2)" in str(loaded)


def test_a_file_without_a_head_leaves_the_models_head(tmp_path, model):
    _build(include_top=False).save_weights(tmp_path / "notop.weights.h5")
    loaded = load_weights(model, tmp_path / "notop.weights.h5")
    assert loaded.initial == ("predictions",)
    assert "head with 10 classes left as initialised, the file has none" in str(loaded)


def test_a_feature_extractor_does_not_use_the_files_head(folder):
    loaded = load_weights(_build(include_top=False), folder / "ours.weights.h5")
    assert (loaded.initial, loaded.unused) == ((), {"predictions": 2})


def test_the_backbone_of_a_fine_tuned_model_is_found_inside_it(tmp_path, source, model):
    backbone = _build(include_top=False)
    load_weights(backbone, _saved(source, tmp_path / "source.keras"))
    inputs = keras.Input((32, 32, 3))
    tuned = keras.Model(inputs, keras.layers.Dense(3, name="mine")(backbone(inputs)))
    for name in ("tuned.keras", "tuned.h5"):
        loaded = load_weights(model, _saved(tuned, tmp_path / name))
        assert loaded.initial == ("predictions",) and loaded.unused == {"mine": 2}
        assert np.array_equal(model.get_layer("top_bn").gamma, source.get_layer("top_bn").gamma)


def _dense(**options):
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Dense(2, name="dense", **options)(inputs), name="net")


def _saved(model, path):
    model.save(path)
    return path


def test_weights_of_sublayers_are_matched_by_their_layers_name_and_theirs(tmp_path):
    def build():
        inputs = keras.Input((4, 3))
        outputs = keras.layers.Bidirectional(keras.layers.LSTM(2, name="lstm"), name="both")(inputs)
        return keras.Model(inputs, keras.layers.LayerNormalization(name="norm")(outputs))

    saved, model = build(), build()
    loaded = load_weights(model, _saved(saved, tmp_path / "model.keras"))
    assert loaded.assigned == 8
    assert _equal(_values(model), _values(saved))


def test_frozen_layers_are_loaded_like_others(folder, source):
    model = _build()
    model.trainable = False
    load_weights(model, folder / "ours.weights.h5")
    assert _equal(_values(model), _values(source))


def test_bfloat16_in_a_keras_file_is_read(tmp_path):
    saved, model = _dense(dtype="bfloat16"), _dense(dtype="float32")
    saved.save_weights(tmp_path / "half.weights.h5")
    load_weights(model, tmp_path / "half.weights.h5")
    assert np.array_equal(model.get_layer("dense").kernel, keras.ops.cast(saved.get_layer("dense").kernel, "float32"))


@pytest.mark.parametrize("dtype", [np.float16, tf.bfloat16.as_numpy_dtype])
def test_half_precision_in_safetensors_is_read(dtype, tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, use_bias=False, name="stem_conv")(inputs)
    x = keras.layers.BatchNormalization(name="stem_bn")(x)
    model = keras.Model(inputs, x)
    _write_safetensors(tmp_path / "half.safetensors", dtype)
    load_weights(model, tmp_path / "half.safetensors")
    assert all(np.all(variable.numpy() == 1.25) for variable in model.weights)


def test_pytorchs_axes_become_keras_axes():
    """The definition of PyTorch's layers, written as sums, against Keras' layers."""
    random = np.random.default_rng(3)
    image = random.normal(size=(1, 3, 3, 4)).astype("float32")  # NHWC, one output position
    kernel = random.normal(size=(5, 4, 3, 3)).astype("float32")  # out, in, height, width
    depthwise = random.normal(size=(4, 1, 3, 3)).astype("float32")  # channels, 1, height, width
    dense = random.normal(size=(5, 4)).astype("float32")  # out, in
    conv = keras.ops.conv(image, keras_layout(kernel, is_depthwise=False))
    np.testing.assert_allclose(conv[:, 0, 0], np.einsum("bhwi,oihw->bo", image, kernel), rtol=1e-4)
    conv = keras.ops.depthwise_conv(image, keras_layout(depthwise, is_depthwise=True))
    np.testing.assert_allclose(conv[:, 0, 0], np.einsum("bhwc,chw->bc", image, depthwise[:, 0]), rtol=1e-4)
    out = image[0, 0] @ keras_layout(dense, is_depthwise=False)
    np.testing.assert_allclose(out, np.einsum("bi,oi->bo", image[0, 0], dense), rtol=1e-4)


def test_nothing_is_assigned_when_the_file_does_not_fit(tmp_path, model):
    other = _saved(_build(include_top=False), tmp_path / "damaged.h5")
    with h5py.File(other, "a") as file:
        del file["model_weights/top_bn/top_bn/beta"]
    before = _values(model)
    with pytest.raises(ValueError, match=r"damaged\.h5: lacks weights of efficientnet: top_bn/beta;"):
        load_weights(model, other)
    assert _equal(_values(model), before)


def test_a_wider_model_is_refused_with_layer_and_both_shapes(tmp_path, model):
    other = _saved(_build(width=0.5), tmp_path / "wide.keras")
    with pytest.raises(ValueError, match=r"wide\.keras: wrong shape of stem_conv/kernel") as info:
        load_weights(model, other)
    assert "the file has (3, 3, 3, 16), efficientnet expects (3, 3, 3, 8)" in str(info.value)


def test_a_deeper_model_is_refused_although_its_first_blocks_fit(tmp_path, model):
    deep = _saved(_build(depth=0.5), tmp_path / "deep.keras")
    with pytest.raises(ValueError, match=r"has weights that efficientnet lacks: block4b_expand_bn/0 and \d+ more"):
        load_weights(model, deep)


def test_a_layer_with_more_weights_than_ours_is_refused(tmp_path):
    path = _saved(_dense(use_bias=True), tmp_path / "model.keras")
    with pytest.raises(ValueError, match="has weights that net lacks: dense/1;"):
        load_weights(_dense(use_bias=False), path)


def test_a_missing_file_is_named_with_what_is_allowed(tmp_path, model):
    with pytest.raises(FileNotFoundError, match=r"none\.keras: no such file; allowed: a \.keras, "):
        load_weights(model, tmp_path / "none.keras")
    with pytest.raises(FileNotFoundError, match="neither model.keras nor a TF1 checkpoint is in this folder"):
        load_weights(model, tmp_path)


def test_a_file_of_an_unknown_kind_is_refused(tmp_path, model):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"weights\.pth: not a known kind of .*; allowed: .* \.pth must be converted"):
        load_weights(model, path)


def test_a_folder_with_two_checkpoints_asks_for_one(tmp_path, source, model):
    for step in (1, 2):
        _write_tf1(source, tmp_path / f"model.ckpt-{step}")
    with pytest.raises(ValueError, match=r"holds 2 checkpoints; name one of them, e.g. .*model\.ckpt-2\.index"):
        load_weights(model, tmp_path)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("model.keras", 0.5),
        ("ours.weights.h5", 0.5),
        ("ours.h5", 0.0),
        ("ours.safetensors", 0.9),
        ("ours.safetensors", 0.0),
        ("model.ckpt.index", 0.5),
        ("model.ckpt.data-00000-of-00001", 0.5),
    ],
)
def test_a_truncated_file_is_called_damaged_in_one_line(name, kept, tmp_path, folder, model):
    copy = shutil.copytree(folder, tmp_path / "copy")
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: int(len(content) * kept)])
    before = _values(model)
    with pytest.raises(ValueError, match=r"copy/(model|ours).*: damaged, or not a .* file \(.*\); fetch") as info:
        load_weights(model, copy / name)
    assert "\n" not in str(info.value)
    assert _equal(_values(model), before)


def test_an_archive_without_weights_is_called_damaged(tmp_path, model):
    with zipfile.ZipFile(tmp_path / "empty.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ValueError, match=r"empty\.keras: damaged, or not a Keras file \(.*model\.weights\.h5"):
        load_weights(model, tmp_path / "empty.keras")


def test_a_keras_file_without_layer_names_asks_to_be_saved_again(tmp_path, source, model):
    source.save_weights(tmp_path / "old.weights.h5")
    with h5py.File(tmp_path / "old.weights.h5", "a") as file:
        for layer in file["layers"].values():
            del layer["vars"].attrs["name"]
    with pytest.raises(ValueError, match="has no layer names, as Keras before 3.6 wrote it"):
        load_weights(model, tmp_path / "old.weights.h5")


def test_names_of_no_known_network_are_refused(tmp_path, model):
    save_file({"conv1.weight": np.zeros(3, "float32")}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"a safetensors of no known network \(conv1/weight\); use a file"):
        load_weights(model, tmp_path / "other.safetensors")


def test_a_tf2_checkpoint_of_objects_is_refused(tmp_path, model):
    path = tf.train.Checkpoint(step=tf.Variable(1)).save(str(tmp_path / "object"))
    with pytest.raises(ValueError, match="a TF2 checkpoint of objects, which has no names of layers"):
        load_weights(model, path)


def test_a_model_under_a_distribution_strategy_is_loaded(folder, source):
    with tf.distribute.MirroredStrategy(["cpu:0"]).scope():
        model = _build()
    load_weights(model, folder / "model.keras")
    assert _equal(_values(model), _values(source))

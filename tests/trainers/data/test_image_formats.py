"""Files of every format that TensorFlow decodes come out as RGB."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.trainers.data.test_images import MEAN, SEED, recipe, smooth
from trainers.data import images


def save(image, mode, file_format, **options):
    stream = io.BytesIO()
    Image.fromarray(image).convert(mode).save(stream, file_format, **options)
    return tf.constant(stream.getvalue())


GREY = smooth(40, 60)[..., :1].repeat(3, axis=2)
ALPHA = np.concatenate([smooth(40, 60), np.full((40, 60, 1), 255, np.uint8)], axis=-1)
COLOURS = (
    np.where(np.arange(60)[:, np.newaxis] < 30, (255, 0, 0), (0, 0, 255)).astype(np.uint8)[np.newaxis].repeat(40, 0)
)
FORMATS = {
    "JPEG": (save(smooth(40, 60), "RGB", "JPEG", quality=98), smooth(40, 60)),
    "grey JPEG": (save(GREY, "L", "JPEG", quality=98), GREY),
    "CMYK JPEG": (save(smooth(40, 60), "CMYK", "JPEG", quality=98), smooth(40, 60)),
    "PNG": (save(smooth(40, 60), "RGB", "PNG"), smooth(40, 60)),
    "grey PNG": (save(GREY, "L", "PNG"), GREY),
    "PNG with alpha": (save(ALPHA, "RGBA", "PNG"), smooth(40, 60)),
    "grey PNG with alpha": (save(GREY, "LA", "PNG"), GREY),
    "PNG with a palette": (save(GREY[..., 0], "P", "PNG"), GREY),  # a palette of 256 greys
    "GIF": (save(GREY, "L", "GIF"), GREY),
    "BMP with a palette": (save(COLOURS, "P", "BMP"), COLOURS),
    "grey BMP": (save(GREY, "L", "BMP"), GREY),
    "BMP": (save(smooth(40, 60), "RGB", "BMP"), smooth(40, 60)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_comes_out_as_rgb(name):
    encoded, expected = FORMATS[name]
    data = recipe(crop_padding=0, resize="bilinear")
    evaluated = images.evaluation_image(encoded, data, 40).numpy()
    tolerance = 12 if "JPEG" in name else 0  # chroma at half resolution
    np.testing.assert_allclose(evaluated, expected[:, 10:50], atol=tolerance)
    assert images.training_image(encoded, SEED, recipe(), 32).shape == (32, 32, 3)


def test_an_animation_gives_its_first_frame():
    frames = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (10, 200)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    evaluated = images.evaluation_image(tf.constant(stream.getvalue()), recipe(crop_padding=0), 8)
    np.testing.assert_array_equal(evaluated, np.full((8, 8, 3), 10))


def test_bytes_that_are_no_image_are_an_error():
    with pytest.raises(tf.errors.InvalidArgumentError):
        images.evaluation_image(tf.constant(b"no image"), recipe(), 8)


@pytest.mark.parametrize("mean_image", [None, MEAN])
def test_a_saved_model_serves_what_evaluation_sees(tmp_path, mean_image):
    data = recipe()
    module = tf.Module()
    signature = [tf.TensorSpec([None], tf.string)]
    module.serve = tf.function(
        lambda encoded: images.serving_images(encoded, data, 32, mean_image), input_signature=signature
    )
    tf.saved_model.save(module, str(tmp_path))
    batch = [encoded for encoded, _ in FORMATS.values()]
    served = tf.saved_model.load(str(tmp_path)).serve(tf.stack(batch))
    assert served.shape == (len(batch), 32, 32, 3)
    for one, encoded in zip(served, batch, strict=True):
        np.testing.assert_array_equal(one, images.evaluation_image(encoded, data, 32, mean_image))
    assert module.serve(tf.constant([], tf.string)).shape == (0, 32, 32, 3)

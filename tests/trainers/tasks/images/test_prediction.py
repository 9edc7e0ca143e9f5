"""`--mode=predict` on files as users have them: any name, any format, some of them broken."""

import json
import os
import pathlib
import struct
import subprocess
import sys
import zlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from flags.errors import UserError
from trainers.modes.predict import _files
from trainers.run.files import writing
from trainers.run.folder import RunFolder
from trainers.tasks.images.prediction import predict

# Red in the upper left quarter, green beside it, blue below: no two turned or mirrored copies are equal.
PIXELS = np.zeros((16, 24, 3), np.uint8)
PIXELS[:8, :12], PIXELS[:8, 12:], PIXELS[8:, :] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
PHOTO = PIL.Image.fromarray(PIXELS)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run whose SavedModel returns the three colours of the upper left pixel as probabilities."""
    module = tf.Module()

    def upper_left(encoded):
        return tf.cast(tf.io.decode_image(encoded, channels=3, expand_animations=False)[1, 1], tf.float32) / 255

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "images")])
    def serve(images):
        probabilities = tf.map_fn(upper_left, images, fn_output_signature=tf.TensorSpec([3], tf.float32))
        ids = tf.argsort(probabilities, direction="DESCENDING")
        return {
            "probabilities": probabilities,
            "class_ids": ids,
            "class_names": tf.gather(["red", "green", "blue"], ids),
        }

    module.serve = serve
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    tf.saved_model.save(module, str(folder.saved_model), signatures=serve)
    return folder


def rows(run):
    return [json.loads(line) for line in (run.path / "predictions.jsonl").read_text().splitlines()]


def best(run, *files):
    predict(run, files)
    return [row["classes"][0]["name"] for row in rows(run)]


@pytest.mark.parametrize(
    "mode, ending",
    [("RGB", "bmp"), ("P", "bmp"), ("P", "png"), ("RGB", "webp"), ("RGB", "tiff"), ("P", "gif"), ("CMYK", "tiff")],
)
def test_every_format_is_predicted_in_its_own_colours(run, tmp_path, mode, ending):
    PHOTO.convert(mode).save(tmp_path / f"photo.{ending}")
    assert best(run, tmp_path / f"photo.{ending}") == ["red"]


def test_an_image_of_one_bit_is_predicted(run, tmp_path):
    PIL.Image.fromarray(np.full((16, 16), 255, np.uint8)).convert("1").save(tmp_path / "white.bmp")
    predict(run, [tmp_path / "white.bmp"])
    assert [c["probability"] for c in rows(run)[0]["classes"]] == [1, 1, 1]


@pytest.mark.parametrize("orientation, colour", [(1, "red"), (2, "green"), (3, "blue"), (6, "blue"), (8, "green")])
def test_a_photo_is_turned_as_its_camera_says(run, tmp_path, orientation, colour):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    PHOTO.save(tmp_path / "photo.jpg", quality=98, subsampling=0, exif=exif)
    assert best(run, tmp_path / "photo.jpg") == [colour]


def test_a_file_that_is_no_image_is_named_and_the_others_are_predicted(run, tmp_path, capsys):
    files = [tmp_path / name for name in ("a.png", "broken.jpg", "empty.png", "z.png")]
    PHOTO.save(files[0])
    PHOTO.save(files[3])
    PHOTO.save(files[1], "JPEG")
    files[1].write_bytes(files[1].read_bytes()[:300])
    files[2].touch()
    with pytest.raises(UserError, match="2 of 4 files could not be read"):
        predict(run, files)
    printed = capsys.readouterr()
    assert "broken.jpg is not a readable image" in printed.err and "empty.png is not a readable" in printed.err
    assert [line.split()[0] for line in printed.out.splitlines()] == [str(files[0]), str(files[3])]
    assert [row["image"] for row in rows(run) if "error" in row] == [str(files[1]), str(files[2])]
    assert [row["image"] for row in rows(run) if "classes" in row] == [str(files[0]), str(files[3])]


def test_an_image_too_large_for_memory_is_refused_before_it_is_decoded(run, tmp_path, capsys):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(UserError, match="1 of 1"):
        predict(run, [tmp_path / "bomb.png"])
    assert "pixels. Scale it down." in capsys.readouterr().err


def test_more_files_than_a_batch_are_predicted_in_order(run, tmp_path):
    files = [tmp_path / f"{number:02}.png" for number in range(70)]
    for file in files:
        PHOTO.save(file)
    predict(run, files)
    assert [row["image"] for row in rows(run)] == [str(file) for file in files]


def test_a_name_cannot_break_a_line_or_colour_the_terminal(run, tmp_path, capsys):
    PHOTO.save(tmp_path / "a\n\x1b[31m.png")
    predict(run, [tmp_path / "a\n\x1b[31m.png"])
    assert f"{tmp_path}/a\\n\\x1b[31m.png  red" in capsys.readouterr().out


def test_predictions_of_a_killed_run_leave_the_old_ones_in_place(tmp_path):
    (tmp_path / "predictions.jsonl").write_text("old\n")
    with pytest.raises(KeyboardInterrupt), writing(tmp_path / "predictions.jsonl") as lines:
        lines.write("new\n")
        raise KeyboardInterrupt
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"predictions.jsonl": "old\n"}


def test_a_folder_means_the_images_in_it(tmp_path):
    for name in ("b.PNG", "a.jpeg", "Thumbs.db", ".DS_Store", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [file.name for file in _files(str(tmp_path))] == ["a.jpeg", "b.PNG"]
    with pytest.raises(UserError, match="no image is in this folder"):
        _files(str(tmp_path / "folder.png"))


def test_a_pipe_is_no_image_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UserError, match="not regular"):
        _files(str(tmp_path / "pipe.png"))


PRINT = """
import pathlib, sys
from trainers import main
main.main = lambda argv: print(argv[1]) or 0
sys.exit(main.command())
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_name_is_printed_on_a_terminal_of_any_encoding(encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    line = [sys.executable, "-c", PRINT, b"lat\xe4 \xe2\x82\xac.png"]
    done = subprocess.run(line, env=environment, capture_output=True, cwd=pathlib.Path(__file__).parents[4])
    assert done.returncode == 0 and done.stdout.startswith(rb"lat\udce4")

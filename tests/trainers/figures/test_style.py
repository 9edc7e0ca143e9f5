"""Pictures of figures."""

import io
import pathlib
import subprocess
import sys

import matplotlib
import numpy as np
import PIL.Image

from tests.trainers.figures.drawings import drawn
from trainers.figures import style

ROOT = pathlib.Path(__file__).parents[3]
DRAW_ALL = """
import sys
from trainers.figures import page, papers, reading, records
groups = records.group([reading.read(folder) for folder in reading.find(sys.argv[1:])])
print(len(papers.draw(groups)), len(papers.tabulate(groups)))
print(*({"tensorflow", "keras", "matplotlib.pyplot"} & set(sys.modules)))
"""


def test_a_figure_is_a_picture_of_200_dots_an_inch(write_run):
    figure = drawn(write_run())["figure1_cifar10"].figure
    picture = np.asarray(PIL.Image.open(io.BytesIO(style.as_png(figure))).convert("L"))
    assert picture.shape == tuple(round(200 * inches) for inches in reversed(figure.get_size_inches()))
    assert picture.std() > 10


def test_the_same_figure_gives_the_same_files(write_run):
    folder = write_run()
    first, second = (drawn(folder)["figure6_cifar10"].figure for _ in range(2))
    assert style.as_svg(first) == style.as_svg(second)
    assert style.as_png(first) == style.as_png(second)
    assert style.as_svg(first).startswith(b"<?xml")


def test_drawing_leaves_matplotlibs_settings_alone(write_run):
    before = dict(matplotlib.rcParams)
    style.as_svg(drawn(write_run())["figure1_cifar10"].figure)
    assert dict(matplotlib.rcParams) == before


def test_drawing_loads_neither_tensorflow_nor_pyplot(write_run):
    folder = write_run(responses={"layer": 1.0})
    done = subprocess.run(
        [sys.executable, "-c", DRAW_ALL, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["4", "2"]

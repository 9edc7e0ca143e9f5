"""`flags` answers without TensorFlow."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
HEAVY = ("tensorflow", "keras", "numpy", "tensorflow_datasets", "trainers", "tf_models")
CALL = """
import sys
from flags import run
from flags.errors import UserError
try:
    run.parse(sys.argv)
except UserError as error:
    print(error)
print("loaded:", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--list_experiments"],
        ["--list_experiments", "--json"],
        ["--experiment=efnet_b0"],
        ["--exeriment=effnet_b0"],
        ["--experiment=effnet_b0", "--set=train.steps=10"],
        ["--experiment=effnet_b0", "--mode=describe", "--set=train.lr=1"],
        ["--experiment=sha_rnn_enwik8", "--mode=generate", "--prompt=x"],
    ],
)
def test_no_answer_of_the_command_line_loads_tensorflow(arguments):
    done = subprocess.run(
        [sys.executable, "-c", CALL, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    loaded = done.stdout.splitlines()[-1].split()[1:]
    assert "flags" in loaded
    assert not set(HEAVY) & set(loaded)


def test_flags_import_neither_models_nor_trainers():
    for path in (ROOT / "flags").rglob("*.py"):
        for line in path.read_text().splitlines():
            if line.startswith(("import ", "from ")):
                assert line.split()[1].partition(".")[0] not in HEAVY, f"{path.name}: {line}"

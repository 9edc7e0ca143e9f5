"""The table of all flags: name, value, default, meaning. The absl flags and the help text are built from it."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import textwrap
from collections.abc import Callable
from typing import Any

from absl import flags as absl_flags

from flags.nearest import near
from flags.overrides import BOOLEANS

MODES = ("train", "evaluate", "export", "predict", "generate", "report", "sweep", "describe", "prepare", "benchmark")
DATA = ("paper", "sample", "synthetic")


class Choice:
    """Reads one of the given words."""

    def __init__(self, *words: str):
        self.words = words
        self.shown = "|".join(words)

    def __call__(self, text: str) -> str:
        if text not in self.words:
            raise ValueError(f"no such value. {near(text, self.words)}Allowed: {', '.join(self.words)}.")
        return text


# Readers: each converts the text of a flag, or raises ValueError stating what is allowed.


def text(value: str) -> str:
    if not value:
        raise ValueError("the value is empty.")
    return value


def files(value: str) -> str:
    return os.path.expanduser(text(value))


def path(value: str) -> str:
    name = files(value)
    try:
        longest = max(len(part.encode()) for part in name.split("/"))
    except UnicodeEncodeError:
        raise ValueError("is not UTF-8, which TensorFlow needs. Rename it.") from None
    if longest > 255 or len(name.encode()) > 4000:
        raise ValueError("too long: at most 255 bytes for each name in it and 4000 for the whole path.")
    return name


def switch(value: str) -> bool:
    if value.lower() not in BOOLEANS:
        raise ValueError("must be true or false; without a value the flag means true.")
    return BOOLEANS[value.lower()]


def seed(value: str) -> int:
    if not re.fullmatch(r"\d{1,10}", value) or int(value) >= 2**31:
        raise ValueError("must be a whole number from 0 to 2147483647.")
    return int(value)


def count(value: str) -> int:
    if not re.fullmatch(r"\d{1,9}", value) or int(value) < 1:
        raise ValueError("must be a whole number from 1 to 999999999.")
    return int(value)


def positive(value: str) -> float:
    number = _number(value)
    if not number > 0:
        raise ValueError("must be a number above 0, such as 0.8.")
    return number


def share(value: str) -> float:
    number = _number(value)
    if not 0 < number <= 1:
        raise ValueError("must be a number above 0 and at most 1, such as 0.98.")
    return number


def _number(value: str) -> float:
    """Parses a number; NaN, which fails every comparison, if the text is not a finite number."""
    try:
        return float(value) if math.isfinite(float(value)) else math.nan
    except ValueError:
        return math.nan


def verbosity(value: str) -> int:
    if not re.fullmatch(r"-[123]|0|1", value):
        raise ValueError("must be -3 (fatal only), -2 (errors), -1 (warnings), 0 (info) or 1 (debug).")
    return int(value)


def devices(value: str) -> str:
    """Reads `cpu*2` or `gpu:0,gpu:1`; a name without a number is number 0."""
    names = value.lower().replace(" ", "").split(",")
    if re.fullmatch(r"cpu\*[1-9]\d?", names[0]) and len(names) == 1:
        return names[0]
    names = [name if ":" in name else f"{name}:0" for name in names]
    if not all(re.fullmatch(r"(cpu|gpu):\d+", name) for name in names):
        raise ValueError("must be names such as gpu:0,gpu:1, or cpu*2 for two logical CPU devices.")
    if len(set(names)) < len(names):
        raise ValueError("lists a device twice.")
    if len({name.partition(":")[0] for name in names}) > 1:
        raise ValueError("mixes device types. Name only GPUs, or only CPUs.")
    return ",".join(names)


def paths(value: str) -> tuple[str, ...]:
    """Reads comma-separated files or folders."""
    names = tuple(path(name.strip()) for name in value.split(",") if name.strip())
    if not names:
        raise ValueError("the list is empty.")
    if len(set(names)) < len(names):
        raise ValueError("lists a path twice.")
    return names


def step_range(value: str) -> tuple[int, int]:
    """Reads "100,110": steps from the first up to, but not including, the second."""
    match = re.fullmatch(r"(\d+),(\d+)", value)
    if not match or int(match[1]) >= int(match[2]):
        raise ValueError("must be two steps, the first smaller, such as 100,110.")
    return int(match[1]), int(match[2])


def seeds(value: str) -> tuple[int, ...]:
    """Reads "0,1,2"."""
    numbers = tuple(seed(part.strip()) for part in value.split(","))
    if len(set(numbers)) < len(numbers):
        raise ValueError("lists a seed twice.")
    return numbers


def part(value: str) -> tuple[int, int]:
    """Reads "2/8": the second of eight parts."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", value)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError("must be PART/PARTS, from 1/8 to 8/8 for eight parts.")
    return int(match[1]), int(match[2])


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag. `read` converts its text into a value, or raises ValueError stating what is allowed."""

    name: str
    read: Callable[[str], Any]
    shown: str  # placeholder after = in the help
    meaning: str
    default: Any = None
    short: str | None = None
    is_repeated: bool = False

    def written(self, value: Any) -> list[str]:
        """Returns the command-line arguments for a value, such as ["--seeds=0,1,2"]."""
        if self.is_repeated:
            return [f"--{self.name}={item}" for item in value]
        separator = "/" if self.read is part else ","
        text = separator.join(map(str, value)) if isinstance(value, tuple) else str(value)
        return [f"--{self.name}={text}"]


def _choice(name: str, words: Choice, meaning: str, default: str | None = None) -> Flag:
    return Flag(name, words, words.shown, meaning, default)


FLAGS = {
    "What to run": (
        Flag("experiment", text, "NAME", "A row of a paper's table, such as effnet_b0."),
        Flag("list_experiments", switch, "", "Print all names, with the row that each reproduces.", False),
        _choice(
            "mode",
            Choice(*MODES),
            "train also evaluates and exports at the end. predict classifies images; generate continues or translates "
            "a text; sweep runs all trials of the experiment's figure and draws it; report draws figures and tables "
            "from runs; describe is a dry run; prepare downloads and builds the data set.",
            "train",
        ),
        Flag(
            "set",
            text,
            "PATH=VALUE",
            "Replace a field of the recipe, such as train.global_batch=64; repeatable. Groups: model, data, optimizer, "
            "schedule, train, init; --set=train alone lists the fields of train. --set=optimizer=adam and "
            "--set=schedule=cosine choose another kind, with its own fields.",
            (),
            is_repeated=True,
        ),
        Flag(
            "init_from",
            path,
            "PATH",
            "External weights, such as those of keras.applications: train starts from them, evaluate tests them, "
            "export writes them as a SavedModel.",
        ),
    ),
    "Where": (
        Flag(
            "model_dir",
            path,
            "DIR",
            "Run directory; default: runs/EXPERIMENT/DATA, for a sweep runs/EXPERIMENT/DATA-sweep. evaluate, export, "
            "predict, generate and report need no other flag to find a run. With --runs: output directory of the "
            "report; default: runs/report.",
        ),
        Flag("data_dir", path, "DIR", "TFDS directory; default: $TFDS_DATA_DIR, else ~/tensorflow_datasets."),
        _choice(
            "data",
            Choice("auto", *DATA),
            "auto: the paper's data set if it is prepared, else the embedded sample, with a warning.",
            "auto",
        ),
        Flag("download", switch, "", "Allow TFDS to download the data set.", False),
    ),
    "Devices": (
        _choice(
            "strategy",
            Choice("auto", "one_device", "mirrored", "multi_worker", "tpu"),
            "How the devices work together; auto: use all of them.",
            "auto",
        ),
        _choice("cluster", Choice("tf_config", "slurm", "tpu"), "How the machines of a cluster find each other."),
        Flag("devices", devices, "LIST", "gpu:0,gpu:1, or cpu*2 for two logical CPU devices; default: all."),
        _choice(
            "precision",
            Choice("auto", "float32", "mixed_bfloat16", "mixed_float16"),
            "auto: the fastest type that the device supports.",
            "auto",
        ),
        _choice("jit_compile", Choice("auto", "on", "off"), "XLA; auto: on GPUs and TPUs.", "auto"),
    ),
    "Reproducibility": (
        Flag("seed", seed, "N", "Seed of weights, example order, augmentation and generated text.", 0),
        Flag("deterministic", switch, "", "Use only deterministic kernels; slower.", False),
    ),
    "For one mode": (
        _choice("split", Choice("validation", "test", "train"), "evaluate: the split to use.", "test"),
        Flag("ensemble", paths, "DIR,DIR", "evaluate: average the class probabilities of these runs."),
        Flag("runs", paths, "GLOB,GLOB", "report: all runs in these folders, such as 'runs/*_cifar10/*', quoted."),
        Flag("images", files, "GLOB", "predict: image files, such as 'photos/*.jpg', quoted."),
        Flag(
            "prompt",
            str,
            "TEXT",
            "generate: start of the text (default: a newline), or the lines to translate. - reads stdin.",
            "",
        ),
        Flag(
            "length",
            count,
            "N",
            "generate: number of bytes (for a word-level model: words) to write. This flag and the next three apply to "
            "language models only.",
            1000,
        ),
        Flag("temperature", positive, "T", "generate: divides the logits; below 1, text is more predictable.", 1.0),
        Flag("top_k", count, "N", "generate: sample from the N most likely symbols; default: from all."),
        Flag("top_p", share, "P", "generate: sample from the most likely symbols whose probabilities sum to P.", 0.98),
        Flag(
            "json",
            switch,
            "",
            "describe, evaluate, benchmark, sweep, --list_experiments: print a JSON object on stdout.",
            False,
        ),
        Flag(
            "export",
            switch,
            "",
            "train: write a SavedModel at the end; --noexport leaves that to --mode=export. Trials of a sweep "
            "write one only if --export is given.",
            True,
        ),
        Flag("profile", step_range, "FROM,TO", "train: profile these steps for TensorBoard, such as 100,110."),
    ),
    "For --mode=sweep": (
        Flag(
            "grid",
            text,
            "PATH=V,V,V",
            "Values of a recipe field; replaces the experiment's values of this field or adds a field to its grid; "
            "repeatable. For a field that is itself a list, separate the values with semicolons.",
            (),
            is_repeated=True,
        ),
        Flag("seeds", seeds, "0,1,2", "Seeds to run at every grid point; default: the experiment's."),
        Flag("parallel", count, "N", "Number of trials to run at once; default: one per GPU, else one per core."),
        Flag("trials_per_gpu", count, "N", "Number of trials to run at once on each GPU; default: one."),
        Flag(
            "sweep_shard",
            part,
            "PART/PARTS",
            "Run only this part of the trials, from 1/N to N/N, for job arrays; all parts share one folder.",
        ),
        _choice(
            "sweep_runner", Choice("local", "ray"), "This machine, or a Ray cluster that shares the folder.", "local"
        ),
        Flag(
            "ray_address", text, "ADDRESS", "Address of the Ray head, such as 10.0.0.1:6379; default: Ray's own lookup."
        ),
    ),
    "Output": (
        Flag("quiet", switch, "", "Print only warnings, errors and results.", False),
        Flag("verbosity", verbosity, "N", "absl's levels: -1 warnings, 0 info, 1 debug.", -1, short="v"),
    ),
}

EXAMPLES = """\
  python -m trainers.main --experiment=effnet_b0
  python -m trainers.main --experiment=effnet_b0 --mode=describe
  python -m trainers.main --experiment=effnet_b0 --set=train.epochs=2 --set=train.global_batch=32
  python -m trainers.main --mode=evaluate --model_dir=runs/effnet_b0/sample --json
  python -m trainers.main --mode=report --runs='runs/*/sample'
  python -m trainers.main --mode=predict --model_dir=runs/effnet_b0/sample --images='photos/*.jpg'
  python -m trainers.main --mode=generate --model_dir=runs/sha_rnn_enwik8/sample --prompt='The '"""


def every_flag() -> dict[str, Flag]:
    return {flag.name: flag for group in FLAGS.values() for flag in group}


def absl_values() -> absl_flags.FlagValues:
    """Returns the table as unparsed absl flags; a flag that is not given has the value None."""
    values = absl_flags.FlagValues()
    values.set_gnu_getopt(True)
    for flag in every_flag().values():
        make = absl_flags.MultiFlag if flag.is_repeated else absl_flags.Flag
        is_switch = flag.read is switch
        made = make(_Parser(flag.read), None, flag.name, None, flag.meaning, short_name=flag.short, boolean=is_switch)
        absl_flags.DEFINE_flag(made, values, module_name=__name__)
    return values


class _Parser(absl_flags.ArgumentParser):
    """Adapts a reader function to absl."""

    def __init__(self, read: Callable[[str], Any]):
        self.parse = read


def help_text() -> str:
    """Returns what --help prints."""
    lines = ["Trains, evaluates and exports the experiments of landmark papers.", "", EXAMPLES]
    for title, group in FLAGS.items():
        lines += ["", title]
        for flag in group:
            lines += _described(flag)
    lines += ["", "Exit status: 0 done; 2 user error; 75 interrupted and saved, rerun to resume; 1 any other error."]
    return "\n".join(lines)


def _described(flag: Flag) -> list[str]:
    usage = f"  --{flag.name}" + (f"={flag.shown}" if flag.shown else "")
    default = "" if flag.default in (None, (), "") or flag.default is False else f" Default: {flag.default}."
    return [usage, *textwrap.wrap(flag.meaning + default, width=96, initial_indent=" " * 6, subsequent_indent=" " * 6)]

"""The command line of one run: parsed, checked, and bound to an experiment, before TensorFlow is loaded."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags as absl_flags

from flags import catalog, combinations, flag_table, folders, listing, overrides, tasks
from flags.errors import UserError
from flags.nearest import near
from flags.recipe import Experiment
from flags.sweep import Sweep

HELP = ("--help", "-help", "-h", "--helpshort", "--helpfull")
FINISHED = ("evaluate", "export", "predict", "generate", "report")  # modes that read a finished run
REPORT = os.path.join("runs", "report")  # default folder of a report on several runs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """The parsed command line. Fields are the flags of `flags/flag_table.py`; None where a flag was not given."""

    experiment: str | None  # None: `report` on `runs`
    overrides: tuple[str, ...]  # --set, as typed: "train.global_batch=64"
    mode: str
    init_from: str | None
    model_dir: str | None
    data_dir: str | None
    data: str  # "auto" until the session has looked for the data sets
    download: bool
    strategy: str
    cluster: str | None
    devices: str | None  # "cpu*2", or "gpu:0,gpu:1"
    precision: str
    jit_compile: str
    seed: int
    deterministic: bool
    split: str
    ensemble: tuple[Run, ...] | None  # the finished runs to average; the other fields are those of the first
    runs: tuple[str, ...] | None  # glob patterns of run folders
    images: str | None
    prompt: str  # "-": read it from stdin
    length: int  # in bytes, or in words
    temperature: float
    top_k: int | None
    top_p: float
    json: bool
    grid: tuple[str, ...]  # as typed: "model.k=1,2,4"
    seeds: tuple[int, ...] | None
    parallel: int | None  # number of trials to run at once
    trials_per_gpu: int | None
    sweep_shard: tuple[int, int] | None  # part (counted from 1) and number of parts
    sweep_runner: str
    ray_address: str | None
    export: bool  # whether training ends with a SavedModel
    profile: tuple[int, int] | None
    quiet: bool
    verbosity: int  # absl's levels

    def recipe_for(self, data: catalog.Data) -> Experiment:
        """Returns the experiment's variant for "paper", "sample" or "synthetic" data, with --set applied (cached)."""
        if data not in self._recipes:
            self._recipes[data] = resolve(self.experiment, data, self.overrides, self.init_from)
        return self._recipes[data]

    @functools.cached_property
    def _recipes(self) -> dict[str, Experiment]:
        return {}

    def folder_for(self, data: catalog.Data) -> pathlib.Path:
        """Returns the run's folder: --model_dir, or runs/EXPERIMENT/DATA (with -sweep appended for a sweep)."""
        if self.model_dir:
            return pathlib.Path(self.model_dir)
        return folders.default_folder(self.experiment, f"{data}-sweep" if self.mode == "sweep" else data)

    def sweep_for(self, data: catalog.Data) -> Sweep | None:
        """Returns the variant's sweep with --grid and --seeds applied; None if all three are absent.

        Raises:
            UserError: a value that its field rejects, or a --set on a field that the sweep varies.
        """
        recipe = self.recipe_for(data)
        if recipe.sweep is None and not self.grid and not self.seeds:
            return None
        chosen = recipe.sweep or Sweep(grid={})
        grid = {**chosen.grid, **_read_grid(self.grid, recipe)}
        chosen = dataclasses.replace(chosen, grid=grid, seeds=self.seeds or chosen.seeds)
        for text in self.overrides:
            path = text.partition("=")[0].strip()
            if path in chosen.paths:
                raise UserError(
                    f"--set={text}: the sweep varies {path}. Remove --set, or replace its values with --grid."
                )
        return chosen

    def arguments(self, **changes: Any) -> list[str]:
        """Returns the command line of this run with `changes` applied: one flag per field that is not the default."""
        run = dataclasses.replace(self, **changes)
        arguments = []
        for flag in flag_table.every_flag().values():
            value = getattr(run, "overrides" if flag.name == "set" else flag.name, flag.default)
            if value is not None and value != flag.default:
                arguments += flag.written(value)
        return arguments

    @classmethod
    def of_folder(cls, folder: str | os.PathLike, mode: str, **flags: Any) -> Run:
        """Returns the finished run in a folder, as if --mode and --model_dir had been given on the command line.

        Args:
            flags: further flags, by name.

        Raises:
            UserError: the folder contains no run, or its `config.json` is damaged.
        """
        return _bound({"mode": mode, "model_dir": os.fspath(folder), **flags}, mode)

    def with_values(self, values: Mapping[str, Any]) -> Run:
        """Returns the run of one trial, with these recipe fields (by path) replaced as well."""
        own = (f"{path}={overrides.show(value)}" for path, value in values.items())
        return dataclasses.replace(self, overrides=(*self.overrides, *own))


def resolve(name: str, data: catalog.Data, texts: Sequence[str], init_from: str | None = None) -> Experiment:
    """Returns an experiment's variant with --set and --init_from applied.

    Raises:
        UserError: an unknown experiment, or a value that the recipe rejects.
    """
    experiment = catalog.get(name)
    values = overrides.parse(texts, experiment)
    if init_from is not None:
        values["init.path"] = init_from
    return overrides.apply(catalog.variant(experiment, data), values.items())


def parse(argv: Sequence[str]) -> Run | None:
    """Parses a command line (program name first) into a run; None after --help or --list_experiments.

    --help and --list_experiments print on stdout. Modes that read a finished run take experiment, data, overrides and
    seed from its `config.json`.

    Raises:
        UserError: an invalid flag, an unknown experiment, or a --set that the recipe rejects.
    """
    if any(argument in HELP for argument in argv[1:]):
        print(flag_table.help_text())
        return None
    given = _given(argv)
    if given.get("list_experiments"):
        print(listing.as_json() if given.get("json") else listing.as_text())
        return None
    mode = given.get("mode", "train")
    given = _with_init(given)
    combinations.check(given, mode)
    if mode == "sweep":
        given = {"export": False, **given}
    is_sweep = folders.is_sweep(pathlib.Path(given.get("model_dir", REPORT)))
    if given.get("runs") or (mode == "report" and is_sweep):
        return _run({"model_dir": REPORT, **given})
    if given.get("ensemble"):
        if len(given["ensemble"]) == 1:
            raise UserError(f"--ensemble={given['ensemble'][0]}: names one run. Give two or more, or use --model_dir.")
        members = tuple(_bound({**given, "model_dir": folder, "ensemble": None}, mode) for folder in given["ensemble"])
        _check_ensemble(members)
        return dataclasses.replace(members[0], ensemble=members)
    return _bound(given, mode)


def _with_init(given: Mapping[str, Any]) -> dict[str, Any]:
    """--set=init.path=PATH is --init_from=PATH."""
    given, rest = dict(given), []
    for text in given.get("set", ()):
        path, _, value = (part.strip() for part in text.partition("="))
        if path == "init.path":
            given["init_from"] = None if value == "none" else flag_table.path(value)
        else:
            rest.append(text)
    return given | ({"set": rest} if rest or "set" in given else {})


def _bound(given: Mapping[str, Any], mode: str) -> Run:
    """The run that the flags describe, with its recipe checked in every variant it may use."""
    if mode in FINISHED and not given.get("init_from"):
        given = folders.with_run(given, mode)
    if "experiment" not in given:
        raise UserError("--experiment is missing. Give one, such as --experiment=effnet_b0. See --list_experiments.")
    run = _run(given)
    _check_task(run, given)
    _check_recipes(run)
    return run


def _given(argv: Sequence[str]) -> dict[str, Any]:
    """The flags given on the command line, by name."""
    values = flag_table.absl_values()
    try:
        rest = values(list(argv))[1:]
    except absl_flags.UnrecognizedFlagError as error:
        raise UserError(_unknown_flag(error.flagname, error.flagvalue)) from None
    except absl_flags.IllegalFlagValueError as error:
        raise UserError(str(error).removeprefix("flag ")) from None
    except (absl_flags.Error, ValueError) as error:
        raise UserError(_absl_says(str(error))) from None
    if rest:
        raise UserError(_leftover(rest[0]))
    return {name: values[name].value for name in flag_table.every_flag() if values[name].present}


def _unknown_flag(name: str, argument: str) -> str:
    if "." in name:
        return f"{argument}: no such flag. To set a recipe field, write --set={name}=VALUE."
    known = [f"--{flag}" for flag in flag_table.every_flag()]
    return f"--{name}: no such flag. {near(f'--{name}', known)}See --help."


def _absl_says(message: str) -> str:
    """Rewrites absl's other messages: a missing value, an unexpected value, an unreadable --flagfile."""
    argument = message.rpartition(" ")[2]
    flag = flag_table.every_flag().get(argument.lstrip("-"))
    if message.startswith("Missing value") and flag:
        return f"{argument}: a value is missing. Write {argument}={flag.shown}."
    if message.endswith(" does not take an argument"):
        argument = message.partition(" ")[0]
        return f"{argument}: takes no value. Write {argument.partition('=')[0]}."
    return message.removeprefix("ERROR:: ") + ". See --help."


def _leftover(word: str) -> str:
    """The message for a word that is not a flag, with the most likely intended flag."""
    name = word.partition("=")[0]
    if word in catalog.names():
        meant = f"Write --experiment={word}."
    elif word in flag_table.MODES:
        meant = f"Write --mode={word}."
    elif name in flag_table.every_flag():
        meant = f"Write --{word}."
    elif "." in name and "=" in word:
        meant = f"Write --set={word}."
    else:
        meant = "Every argument is a --flag=value, without spaces around =. See --help."
    return f"{word}: not a flag. {meant}"


def _read_grid(texts: Sequence[str], experiment: Experiment) -> dict[str, tuple]:
    """Parses texts "path=value,value" into typed values by path, checked like those of --set."""
    grid = {}
    for text in texts:
        path, equals, values = (part.strip() for part in text.partition("="))
        parts = values.split(";" if ";" in values else ",")
        try:
            grid[path] = tuple(overrides.parse([f"{path}{equals}{value}"], experiment)[path] for value in parts)
        except UserError as error:
            raise UserError(str(error).replace("--set=", "--grid=")) from None
    return grid


def _run(given: Mapping[str, Any]) -> Run:
    values = {name: given.get(name, flag.default) for name, flag in flag_table.every_flag().items()}
    del values["list_experiments"]
    return Run(overrides=tuple(values.pop("set")), **values)


def _check_task(run: Run, given: Mapping[str, Any]) -> None:
    """Checks that the mode fits the experiment's task, and that its flags are complete."""
    kind = tasks.get(catalog.get(run.experiment).task)
    if run.mode not in (*tasks.EVERY_TASK, *kind.modes):
        raise UserError(f"--mode={run.mode}: {run.experiment} {kind.does}.")
    if run.mode == "predict" and run.images is None:
        raise UserError("--mode=predict: --images is missing. Give the image files, quoted: --images='photos/*.jpg'.")
    for name in kind.unused:
        if name in given:
            raise UserError(f"--{name} has no effect for {run.experiment}, which {kind.unused_because}.")
    if run.mode == "generate" and kind.needs_prompt and "prompt" not in given:
        raise UserError(
            "--mode=generate: --prompt is missing. Give the text to translate, or --prompt=- to read lines from stdin."
        )


def _check_ensemble(members: Sequence[Run]) -> None:
    for run in members:
        kind = tasks.get(catalog.get(run.experiment).task)
        if kind.not_averaged:
            raise UserError(
                f"--ensemble: the run in {run.model_dir} is {kind.not_averaged}, {run.experiment}; only image "
                "classifiers can be averaged. Evaluate it alone with --model_dir."
            )


def _check_recipes(run: Run) -> None:
    """Builds every variant that the run may use, so that an invalid --set fails early."""
    variants = ("paper", "sample") if run.data == "auto" else (run.data,)
    for data in variants:
        try:
            run.recipe_for(data)
            if run.mode == "sweep":
                _check_trials(run, data)
        except UserError as error:
            if data == variants[0]:
                raise
            # Valid for the paper's data: explain why it is rejected anyway.
            raise UserError(
                f"{error} (in the recipe's sample variant, used if the paper's data set is not prepared; "
                "--data=paper avoids it)"
            ) from None


def _check_trials(run: Run, data: catalog.Data) -> None:
    """Builds the recipe of every grid point, at both ends of the ladder."""
    chosen = run.sweep_for(data)
    if chosen is None:
        return
    ladder = chosen.ladder
    ends = [{ladder.path: ladder.first}, {ladder.path: ladder.last}] if ladder else [{}]
    for point in chosen.points:
        for end in ends:
            run.with_values({**point, **end}).recipe_for(data)

"""Recipe fields by path: `--set=train.global_batch=64`, the sample variants, differences between two runs.

A path is `group.field`. The field's annotation in the group's dataclass defines the allowed values. The paths
`optimizer` and `schedule` select the kind; each kind has its own fields.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from flags.errors import UserError
from flags.nearest import near
from flags.optimization import OPTIMIZERS
from flags.recipe import Experiment
from flags.schedules import SCHEDULES

EXCLUSIVE = {"train.epochs": "train.steps", "train.steps": "train.epochs"}  # setting one clears the other
KINDS = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES}
CARRIED = ("weight_decay", "decayed", "lr", "warmup_steps")  # fields with the same meaning in every kind that has them
NO_GROUPS = ("paper", "sweep", "sample_sweep")  # dataclasses that do not affect training
BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def parse(texts: Iterable[str], experiment: Experiment) -> dict[str, Any]:
    """Parses texts "path=value" into typed values by path, checked against the fields of `experiment`.

    The last value of a path wins, and the last of `train.steps` and `train.epochs` clears the other, so appending to a
    script's command line overrides it.

    Raises:
        UserError: an unknown field (similar ones are suggested), a field that cannot be set, or an invalid value.
    """
    values = {}
    split = [(f"--set={text}", *(part.strip() for part in text.partition("="))) for text in texts]
    classes = _classes(experiment)
    for flag, path, equals, name in split:
        if equals and path in KINDS and path in classes:
            values[path], classes[path] = name, _class_of(path, name, flag)
    for flag, path, equals, value in split:
        if path in values and path in KINDS:
            continue
        kind = _kind(experiment, classes, path, flag)
        if not equals:
            raise UserError(f"{flag}: a value is missing. Write --set={path}=..., {_allowed(kind)}.")
        if not _is_settable(kind):
            raise UserError(f"{flag}: this field cannot be set on the command line, only in the recipe (flags/).")
        try:
            values[path] = _read(value, kind)
        except ValueError:
            raise UserError(f"{flag}: must be {_allowed(kind)}. {near(value, _choices(kind))}".strip()) from None
        if path in EXCLUSIVE and values[path] is not None:
            values.pop(EXCLUSIVE[path], None)
    return values


def apply(experiment: Experiment, assignments: Iterable[tuple[str, Any]]) -> Experiment:
    """Returns `experiment` with the fields at the given paths replaced by typed values.

    All fields of a group change at once, so they are checked together. Setting `train.steps` clears `train.epochs`, and
    vice versa.

    Raises:
        UserError: an unknown field, or a value that the field or its group rejects.
    """
    values = dict(assignments)
    for given, other in EXCLUSIVE.items():
        if values.get(given) is not None and other not in values:
            values[other] = None
    classes = _classes(experiment)
    for group in KINDS:
        if group in values:
            classes[group] = _class_of(group, values.pop(group), f"{group}=")
    changes: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        kind = _kind(experiment, classes, path, f"{path}={show(value)}")
        if not _fits(value, kind):
            raise UserError(f"{path}={show(value)}: must be {_allowed(kind)}.")
        group, _, field = path.partition(".")
        changes.setdefault(group, {})[field] = value
    groups = {}
    # The schedule comes last: its rate may depend on the batch size.
    for group, kind in sorted(classes.items(), key=lambda item: item[0] == "schedule"):
        old, fields = getattr(experiment, group), changes.get(group, {})
        if type(old) is not kind:
            groups[group] = _of_kind(kind, old, fields, experiment, groups)
        elif fields:
            groups[group] = dataclasses.replace(old, **fields)
    return dataclasses.replace(experiment, **groups)


def _of_kind(kind: type, old: Any, fields: dict[str, Any], experiment: Experiment, groups: dict[str, Any]) -> Any:
    """Builds a group of another kind from the given fields, the fields both kinds share, and the kind's defaults.

    Raises:
        UserError: a field without a default is missing.
    """
    hints = _hints(kind)
    carried = {name: getattr(old, name) for name in CARRIED if name in hints and hasattr(old, name)}
    if "lr" in hints:
        now = {name: groups.get(name, getattr(experiment, name)) for name in ("train", "model")}
        carried["lr"] = old.peak(types.SimpleNamespace(**now))
    given = {name: value for name, value in carried.items() if _fits(value, hints[name])} | fields
    missing = [
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.name not in given
    ]
    if missing:
        needed = " ".join(f"--set={kind.group}.{name}=..." for name in missing)
        raise UserError(f"{kind.group}={kind.kind}: required fields are missing. Add {needed}.")
    return kind(**given)


def _class_of(group: str, name: str, given: str) -> type:
    known = KINDS[group]
    if name not in known:
        raise UserError(f"{given}: no such {group}. {near(name, known)}Kinds: {', '.join(known)}.")
    return known[name]


def flatten(experiment: Experiment) -> dict[str, Any]:
    """Returns name, task and every field of every group by path, as JSON values: all that determines the results."""
    flat = {"name": experiment.name, "task": experiment.task}
    classes = _classes(experiment)
    flat |= {group: classes[group].kind for group in KINDS if group in classes}
    for path in _fields(classes):
        group, _, field = path.partition(".")
        flat[path] = _plain(getattr(getattr(experiment, group), field))
    return flat


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Returns one line per field that differs between two flat recipes: "train.global_batch: 64 -> 128"."""
    lines = []
    for path in dict.fromkeys((*old, *new)):
        before, after = (_plain(flat[path]) if path in flat else ABSENT for flat in (old, new))
        if before != after:
            lines.append(f"{path}: {show(before)} -> {show(after)}")
    return lines


ABSENT = object()


def show(value: Any) -> str:
    """Formats a field's value in the syntax of `--set`."""
    if value is ABSENT:
        return "(no such field)"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ",".join(show(item) for item in value) or "none"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """The annotations of a group's fields, by name."""
    return typing.get_type_hints(kind)


def _classes(experiment: Experiment) -> dict[str, type]:
    """The dataclass of every group."""
    names = [field.name for field in dataclasses.fields(experiment) if field.name not in NO_GROUPS]
    groups = {name: getattr(experiment, name) for name in names}
    return {name: type(group) for name, group in groups.items() if dataclasses.is_dataclass(group)}


def _fields(classes: Mapping[str, type]) -> dict[str, Any]:
    """Path -> annotation of every field of every group, including those of subclasses."""
    fields = {}
    for group, kind in classes.items():
        hints = _hints(kind)
        fields |= {f"{group}.{field.name}": hints[field.name] for field in dataclasses.fields(kind)}
    return fields


def _kind(experiment: Experiment, classes: Mapping[str, type], path: str, given: str) -> Any:
    """The annotation of the field at `path`; error messages begin with `given`."""
    fields = _fields(classes)
    if path in fields:
        return fields[path]
    group = path.partition(".")[0]
    inside = ", ".join(name.partition(".")[2] for name in fields if name.startswith(f"{group}."))
    if path in classes:
        kinds = f" --set={path}=KIND chooses another kind: {', '.join(KINDS[path])}." if path in KINDS else ""
        raise UserError(f"{given}: {path} is a group of fields. Set one with --set={path}.FIELD=...: {inside}.{kinds}")
    if group in KINDS and group not in classes:
        raise UserError(f"{given}: this experiment is fitted in closed form and has no {group}. Remove this setting.")
    if group not in classes and group in (field.name for field in dataclasses.fields(experiment)):
        raise UserError(f"{given}: {group} identifies the experiment and cannot be set. Groups: {', '.join(classes)}.")
    rest = f"Fields of {group}: {inside}." if group in classes else f"Groups: {', '.join(classes)}."
    raise UserError(f"{given}: no such field. {near(path, fields)}{rest}")


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """The members of a union (`int | None`), or the kind itself."""
    return typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)


def _choices(kind: Any) -> list[str]:
    """The values that the Literal in `kind` allows; empty if it has none."""
    literals = [part for part in _alternatives(kind) if typing.get_origin(part) is typing.Literal]
    return [str(choice) for part in literals for choice in typing.get_args(part)]


def _is_settable(kind: Any) -> bool:
    scalars = (bool, int, float, str, type(None))
    lists = (tuple[float, ...], tuple[int, ...], tuple[str, ...])
    return all(part in scalars or part in lists or _choices(part) for part in _alternatives(kind))


def _read(text: str, kind: Any) -> Any:
    """Parses text as a value of `kind`; raises ValueError if it is not one."""
    parts = _alternatives(kind)
    if type(None) in parts and text.lower() == "none":
        return None
    for part in parts:
        if part is not type(None):
            try:
                return _read_part(text, part)
            except ValueError:
                continue
    raise ValueError(text)


def _read_part(text: str, part: Any) -> Any:
    if _choices(part):
        return typing.get_args(part)[_choices(part).index(text)]
    if typing.get_origin(part) is tuple:
        items = [] if text.lower() == "none" else text.split(",")
        return tuple(_read_part(item.strip(), typing.get_args(part)[0]) for item in items)
    if part is bool:
        if text.lower() not in BOOLEANS:
            raise ValueError(text)
        return BOOLEANS[text.lower()]
    value = part(text)
    if not text or (part is float and not math.isfinite(value)):
        raise ValueError(text)
    return value


def _fits(value: Any, kind: Any) -> bool:
    """Whether a Python value has type `kind`; an int is also a float, a bool is neither."""
    if len(_alternatives(kind)) > 1:
        return any(_fits(value, part) for part in _alternatives(kind))
    if _choices(kind):
        return value in typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(item, typing.get_args(kind)[0]) for item in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else origin or kind)


def _allowed(kind: Any) -> str:
    """Describes the values that a field takes."""
    words = {
        bool: "true or false",
        int: "a whole number, such as 64",
        float: "a number, such as 0.1 or 1e-3",
        str: "a non-empty text",
        type(None): "none",
        tuple[float, ...]: "comma-separated numbers, such as 0.5,0.5,0.5, or none",
        tuple[str, ...]: "comma-separated names, or none",
        tuple[int, ...]: "comma-separated whole numbers, such as 1,2,3, or none",
    }
    parts = [
        f"one of {', '.join(_choices(part))}" if _choices(part) else words.get(part, str(part))
        for part in _alternatives(kind)
    ]
    return ", or ".join(parts)

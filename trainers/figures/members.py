"""Shared by the papers' figures: the runs of one recipe as lines, and the notes on seeds, data and recipes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from trainers.figures.records import MANY_POINTS, Data, Group

OPACITY = (1.0, 0.55, 0.3)  # of several recipes of one network
SEEDS = ", ± standard deviation, bands smallest to largest"


@dataclasses.dataclass(frozen=True)
class Member:
    """The runs of one recipe in a figure."""

    net: str
    title: str  # of the network
    color: str
    group: Group
    number: int  # among the recipes of this network

    @property
    def name(self) -> str:
        return self.title + (f" ({'abcdefgh'[self.number % 8]})" if self.group.note else "")

    @property
    def line(self) -> dict:
        return {"color": self.color, "alpha": OPACITY[min(self.number, len(OPACITY) - 1)]}


def has_bands(groups: Iterable[Group]) -> bool:
    """Whether some recipe has runs of several seeds, which are drawn as a band."""
    return any(len(group.records) > 1 for group in groups)


def foot_of(members: Sequence[Member], *lines: str) -> str:
    """Small print: the given lines without empty ones, which recipes --set changed, how recipes of a network differ."""
    changed = ", ".join(dict.fromkeys(member.name for member in members if member.group.is_changed))
    recipes = dict.fromkeys(f"{member.name}: {member.group.note}" for member in members if member.group.note)
    return "\n".join(filter(None, (*lines, changed and f"recipe changed by --set: {changed}", *recipes)))


def ours(members: Sequence[Member], data: Data) -> str:
    """Small print on our numbers: their data, and what stands for several seeds."""
    return f"ours: {data.title}, at the end" + SEEDS * has_bands(member.group for member in members)


def unfinished_note(members: Sequence[Member]) -> str:
    """The sentence of a caption that names recipes without a finished run; empty if there is none."""
    names = ", ".join(dict.fromkeys(member.name for member in members if not member.group.finished))
    return f" Not finished: {names}." if names else ""


def averaging_note(members: Sequence[Member], name: str, training: str) -> str:
    """The sentence of a caption on training curves of very many points, which are averaged between evaluations."""
    records = [record for member in members for record in member.group.records]
    is_long = any(len(record.points("train", name)) > MANY_POINTS for record in records)
    return f" {training} are means between two evaluations." if is_long else ""

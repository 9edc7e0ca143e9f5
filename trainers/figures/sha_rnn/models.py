"""Language models of a report (SHA-RNN, Merity 2019, arXiv 1911.11423), shared by its figures and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from trainers.figures.members import Member
from trainers.figures.records import DATA_NAMES, Data, Group

NETS = {  # experiment -> title and colour
    "sha_lstm_enwik8": ("SHA-LSTM without attention", "#9a9a00"),
    "sha_rnn_enwik8": ("single-headed SHA-RNN", "#d62728"),
    "sha_rnn_enwik8_4head": ("4-headed SHA-RNN", "#1f5fa8"),
    "sha_rnn_enwik8_no_boom": ("SHA-RNN without Boom", "#e08a1e"),
    "plain_lstm_enwik8": ("plain LSTM", "#1a1a1a"),
    "sha_rnn_wikitext103": ("SHA-RNN (WikiText-103)", "#1b8a2f"),
    "sha_rnn_wikitext2": ("SHA-RNN (WikiText-2)", "#00a5b5"),
}
OTHER_COLOR = "#7a4fb5"
UNITS = {"bpc": "bytes", "perplexity": "words"}  # metric of a text -> what it is read in


def members_by_data(groups: Sequence[Group]) -> Iterator[tuple[Data, list[Member]]]:
    """The runs of language models, data set by data set."""
    chosen = [group for group in groups if group.experiment.task == "language_modelling"]
    for data in sorted({group.data for group in chosen}):
        same = [group for group in chosen if group.data == data]
        yield data, [_member(group, same) for group in same]


def _member(group: Group, same: Sequence[Group]) -> Member:
    others = [other for other in same if other.name == group.name]
    title, color = NETS.get(group.name, (group.name, OTHER_COLOR))
    return Member(group.name, title, color, group, others.index(group))


def logged(member: Member) -> set[str]:
    """The names of all numbers that a run logged."""
    return set().union(*(row for record in member.group.records for row in record.rows))


def title_of(experiment: str) -> str:
    return NETS.get(experiment, (experiment,))[0]


def metric_of(members: Sequence[Member]) -> str:
    """The metric of their text: "perplexity" if it is read in words, else "bpc"."""
    return "perplexity" if any("perplexity" in logged(member) for member in members) else "bpc"


def papers_data(members: Sequence[Member]) -> str:
    """The data set that the recipes are for, or the data sets."""
    names = dict.fromkeys(member.group.experiment.data.name for member in members)
    return " or ".join(DATA_NAMES.get(name, name) for name in names)


def has_printed(members: Sequence[Member]) -> bool:
    """Whether the paper has a number for one of them; all that it has are on enwik8."""
    return any("bpc" in member.group.experiment.paper.numbers for member in members)


def place(members: Sequence[Member], data: Data) -> str:
    """ "enwik8", or "the embedded Wikipedia sample, not enwik8"."""
    return data.title if is_papers(members) else f"{data.title}, not {papers_data(members)}"


def is_papers(members: Sequence[Member]) -> bool:
    """Whether all of them ran on the data that their recipe is for."""
    return all(member.group.is_on_papers_data for member in members)


def compressors_of(members: Sequence[Member]) -> dict[str, Mapping[str, Mapping[str, float]]]:
    """By the text that runs were tested on: bits per character by how compressors are used, then by compressor."""
    found = {}
    for member in members:
        settings = member.group.records[0].settings
        numbers = member.group.fact("compressors")
        if numbers:
            found.setdefault(f"{settings['data.test_split']} (training part: {settings['data.train_split']})", numbers)
    return found

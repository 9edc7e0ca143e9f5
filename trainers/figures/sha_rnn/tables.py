"""Tables of language models (SHA-RNN, Merity 2019, arXiv 1911.11423): measured numbers next to the paper's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flags import catalog
from trainers.figures.members import Member
from trainers.figures.records import Data, Estimate, Group, Record
from trainers.figures.sha_rnn.attention import WEIGHTS, measured_run
from trainers.figures.sha_rnn.models import (
    compressors_of,
    has_printed,
    is_papers,
    members_by_data,
    metric_of,
    place,
    title_of,
)
from trainers.figures.shown import shown
from trainers.figures.tables import Cell, Table

ENWIK8 = Data("enwik8", "paper")
PAPER_ROWS = ("sha_lstm_enwik8", "sha_rnn_enwik8", "sha_rnn_enwik8_4head")  # of the paper's table on enwik8
PUBLISHED = (  # on enwik8: model, bits per character of the test part, parameters in millions
    ("surprisal-driven zoneout (Rocki 2016)", 1.313, 64),
    ("large RHN (Zilly 2016)", 1.27, 46),
    ("large FS-LSTM-4 (Mujika 2017)", 1.245, 47),
    ("mLSTM (Krause)", 1.24, 46),
    ("AWD-LSTM, 3 layers", 1.232, 47),
    ("LSTM (Melis 2019)", 1.195, 48),
    ("Mogrifier LSTM (Melis 2019)", 1.146, 48),
    ("T12 (Al-Rfou)", 1.11, 44),
    ("T64 (Al-Rfou)", 1.06, 235),
    ("Transformer-XL, 12 layers", 1.06, 41),
    ("Transformer-XL, 18 layers", 1.03, 88),
    ("adaptive span, small", 1.02, 38),
)


def tabulate(groups: Sequence[Group]) -> Iterator[Table]:
    """The results on every text that a run is on, compressors on the same bytes, and what attention looks back at."""
    for data, members in members_by_data(groups):
        yield _results(members, data)
        if compressors_of(members):
            yield _compressors(members, data)
        yield from (_looks(member, data) for member in members if measured_run(member))
        if data == ENWIK8:
            yield _published()


def _results(members: Sequence[Member], data: Data) -> Table:
    metric = metric_of(members)
    label, _, digits = shown(metric)
    digits_of = {
        f"{label}, validation: {_ours(data)}": digits,
        f"{label}, test: {_ours(data)}": digits + 1,
        f"{label}, test: the author's average": digits + 1,
        f"{label}, test: paper (enwik8)": digits,
    }
    counts = ("parameters: paper", "parameters: trained", "parameters: gates folded")
    names = dict.fromkeys((*(PAPER_ROWS if has_printed(members) else ()), *(member.group.name for member in members)))
    rows = []
    for name in names:
        ours = [_row(member, metric) for member in members if member.group.name == name]
        rows += ours or [_paper_row(name, metric)]
    return Table(
        name=f"results_{data.slug}",
        title=f"{label.capitalize()} on {place(members, data)}",
        caption=_caption(members, data),
        columns=("model", *counts, *digits_of, "seeds", "changed"),
        rows=tuple(rows),
        digits=digits_of,
    )


def _row(member: Member, metric: str) -> tuple[Cell, ...]:
    group = member.group
    parameters = group.fact("parameters")
    numbers = group.experiment.paper.numbers
    return (
        member.name,
        _millions(numbers.get("parameters")),
        parameters,
        None if parameters is None else parameters - _folded(group.records[0]),
        _validation(group, metric),
        group.measured(metric),
        group.measured(f"{metric}_author"),
        numbers.get(metric),
        group.seeds,
        ", ".join(group.records[0].overrides) or group.note or None,
    )


def _paper_row(experiment: str, metric: str) -> tuple[Cell, ...]:
    """A row of the paper's table that has no run."""
    numbers = catalog.get(experiment).paper.numbers
    ours = (None,) * 5
    return title_of(experiment), _millions(numbers["parameters"]), *ours, numbers[metric], None, None


def _millions(parameters: float | None) -> str | None:
    return None if parameters is None else f"{parameters / 1e6:g} M"


def _folded(record: Record) -> int:
    """How many parameters are gone when every value gate is a constant: 2 d^2 + 2 d a layer with attention."""
    width = record.settings["model.width"]
    return len(record.settings.get("model.attention_layers", ())) * 2 * width * (width + 1)


def _validation(group: Group, metric: str) -> Estimate | None:
    """What the tested checkpoints had reached on the validation part."""
    found = [record.points("eval", metric).get(record.results.get("selected_step")) for record in group.finished]
    values = tuple(value for value in found if value is not None)
    return Estimate(values) if values else None


def _ours(data: Data) -> str:
    return f"measured on {data.name}"


def _caption(members: Sequence[Member], data: Data) -> str:
    return "".join(
        (
            f"Measured on {data.title}: not comparable with the paper's numbers, which are on enwik8 and given for "
            "reference. "
            if has_printed(members) and not is_papers(members)
            else "",
            "Measured: of several seeds the best and, in brackets, mean ± standard deviation (n - 1). Validation: of "
            "the checkpoint that was tested. Test: the mean over the n - 1 symbols of a lane that are predicted; the "
            "author's code divides by n. Gates folded: with each value gate as a constant vector, as the paper has it.",
        )
    )


def _compressors(members: Sequence[Member], data: Data) -> Table:
    label, _, digits = shown("bpc")
    uses = dict.fromkeys(use for numbers in compressors_of(members).values() for use in numbers)
    rows = [
        (name, text, *(numbers[use].get(name) if use in numbers else None for use in uses))
        for text, numbers in compressors_of(members).items()
        for name in numbers["alone"]
    ]
    return Table(
        name=f"compressors_{data.slug}",
        title=f"Bits per character of compressors on {data.title}",
        caption="Measured on the bytes that the runs above were tested on: by themselves; and what they add to the "
        "training part, which a model has read as well, as far back as a compressor's window reaches.",
        columns=("compressor", "text", *(f"{label}, {use}" for use in uses)),
        rows=tuple(rows),
        digits={f"{label}, {use}": digits for use in uses},
    )


def _looks(member: Member, data: Data) -> Table:
    measured = measured_run(member).measured[WEIGHTS.name]
    unit = measured["unit"]
    rows = [
        (layer["layer"], look["read"], look["weight"], look["back"], look["there"])
        for layer in measured["layers"]
        for look in layer["looks"]
    ]
    return Table(
        name=f"looks_{member.group.name}_{data.slug}" + (f"_{member.number + 1}" if member.group.note else ""),
        title=f"Positions that the attention of {member.name} looks at, on {data.title}",
        caption=f"For some positions of the passage in the figure, the {unit}s of the memory from before it with the "
        "largest weights. ‖ stands after the symbol that was just read, and after the one that is looked at. Positions "
        "are those with the strongest look at a single row, one in each stretch of the passage.",
        columns=("layer", "read ‖ to be predicted", "weight", "positions back", "looked at ‖ what came after it"),
        rows=tuple(rows),
        digits={"weight": 3},
    )


def _published() -> Table:
    return Table(
        name="published_enwik8",
        title="Other models on enwik8, as published",
        caption="Published numbers of other models, for context, as public leader boards and the author's README list "
        "them; none was measured here.",
        columns=("model", "test bits per character, as published", "parameters, as published"),
        rows=tuple((model, bits, f"{parameters} M") for model, bits, parameters in PUBLISHED),
        digits={"test bits per character, as published": 3},
    )

"""`--mode=report`: the papers' figures and tables, drawn from runs, with the papers' final values beside ours."""

from __future__ import annotations

import dataclasses
import pathlib
import sys

from flags.errors import UserError
from flags.run import Run
from trainers.figures import page, papers, records, resnet, style, tables
from trainers.figures.records import Record
from trainers.figures.style import Drawing
from trainers.files import write_bytes, write_json, write_text
from trainers.run_folder import RunFolder


def report(run: Run) -> None:
    """Draws the report on one run into its folder, or on all of `--runs` into `--model_dir`; prints what it wrote.

    Raises:
        UserError: there is no such run, none can be read, or the report's folder cannot be written.
    """
    found, left_out = _read(run)
    found, repeated = records.without_repetitions(found)
    left_out += repeated
    left_out += [record.damage for record in found if record.damage]
    left_out += [
        f"{record.folder}: not finished, in no table of measured numbers" for record in found if not record.is_finished
    ]
    measured = [_with_responses(record, run, left_out) for record in found]
    groups = records.group(measured)
    drawn = papers.draw(groups)
    left_out += page.lines_of_missing(drawn)
    drawings = [drawing for drawing in drawn if isinstance(drawing, Drawing)]
    folder = pathlib.Path(run.model_dir)
    if RunFolder(folder).config.exists():  # also with --runs: a run's own files are not ours to touch
        folder /= "report"
    try:
        written = _write(folder, groups, drawings, left_out)
    except OSError as error:
        raise UserError(
            f"{folder}: the report cannot be written ({error.strerror}). Name a folder with --runs and --model_dir."
        ) from error
    for path in written:
        print(path)
    if left_out:
        print("not there, and why:", *left_out, sep="\n  ")


def _read(run: Run) -> tuple[list[Record], list[str]]:
    """The runs that can be read, and a line for each that cannot."""
    if not run.runs:
        if run.model_dir is None:
            raise UserError(
                f"--mode=report: {run.experiment} has no run in runs/. Train it first, or name --model_dir."
            )
        return [records.read(pathlib.Path(run.model_dir))], []
    found, left_out = [], []
    for folder in records.find(run.runs):
        try:
            found.append(records.read(folder))
        except UserError as error:
            left_out.append(str(error))
    if not found:
        raise UserError(left_out[0])
    return found, left_out


def _with_responses(record: Record, run: Run, left_out: list[str]) -> Record:
    """The run with the numbers of Figure 7: measured if no earlier report kept them, and kept in RUN/report."""
    if record.layer_responses is not None or not resnet.shows_responses(record):
        return record
    from trainers import layer_responses  # loads TensorFlow

    if not run.quiet:
        print(f"measuring the layer responses of {record.folder}", file=sys.stderr, flush=True)
    try:
        stamp = records.model_stamp(RunFolder(record.folder).keras_model)
        std = layer_responses.of_run(record.folder, run)
    except (UserError, FileNotFoundError) as error:
        left_out.append(f"Figure 7 without {record.folder}: {error}")
        return record
    path = record.folder / records.RESPONSES
    try:
        path.parent.mkdir(exist_ok=True)
        write_json(path, {"model": stamp, "std": std})
    except OSError as error:
        left_out.append(f"{path}: not kept for the next report ({error.strerror})")
    return dataclasses.replace(record, layer_responses=std)


def _write(folder: pathlib.Path, groups, drawings, left_out) -> list[pathlib.Path]:
    folder.mkdir(parents=True, exist_ok=True)
    tabulated = papers.tabulate(groups)
    written = []
    for drawing in drawings:
        for ending, content in ((".png", style.as_png), (".svg", style.as_svg)):
            written.append(folder / f"{drawing.name}{ending}")
            write_bytes(written[-1], content(drawing.figure))
    texts = {
        "tables.md": "\n".join(map(tables.as_markdown, tabulated)),
        "index.html": page.html_page(groups, drawings, tabulated, left_out),
    }
    for name, text in texts.items():
        written.append(folder / name)
        write_text(written[-1], text)
    written.append(folder / "tables.json")
    write_json(written[-1], {"tables": [tables.as_json(table) for table in tabulated]})
    return written

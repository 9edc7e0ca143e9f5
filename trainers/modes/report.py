"""`--mode=report`: the papers' figures and tables, drawn from runs, with the papers' final values beside ours."""

from __future__ import annotations

import dataclasses
import glob
import importlib
import os
import pathlib
import re
import sys

from flags import folders
from flags.errors import UserError
from flags.run import Run
from trainers.figures import measurements, page, papers, reading, records, style, tables
from trainers.figures.measurements import Measurement
from trainers.figures.records import Record
from trainers.figures.style import Drawing
from trainers.run.files import write_bytes, write_json, write_text
from trainers.run.folder import RunFolder


def report(run: Run) -> None:
    """Draws the report on one run or a sweep into its folder, or on `--runs` into `--model_dir`; prints what it wrote.

    Raises:
        UserError: as `write_report`.
    """
    written, left_out = write_report(run)
    for path in written:
        print(path)
    if left_out:
        print("left out:", *left_out, sep="\n  ")


def write_report(run: Run) -> tuple[list[pathlib.Path], list[str]]:
    """Draws the report; returns the files that it wrote, and a line for everything that it left out.

    Raises:
        UserError: there is no such run, none can be read, or the report's folder cannot be written.
    """
    found, left_out = _read(run)
    found, repeated = records.without_repetitions(found)
    left_out += repeated
    left_out += [record.damage for record in found if record.damage]
    left_out += [
        f"{record.folder}: not finished; tables of results leave it out" for record in found if not record.is_finished
    ]
    for measurement in papers.measurements():
        found = [_measured(record, measurement, run, left_out) for record in found]
    groups = records.group(found)
    drawn = papers.draw(groups)
    left_out += page.lines_of_missing(drawn)
    drawings = [drawing for drawing in drawn if isinstance(drawing, Drawing)]
    folder = pathlib.Path(run.model_dir)
    if RunFolder(folder).config.exists() or folders.is_sweep(
        folder
    ):  # also with --runs: their own files are not ours to touch
        folder /= "report"
    try:
        return _write(folder, groups, drawings, left_out), left_out
    except OSError as error:
        raise UserError(
            f"{folder}: the report cannot be written ({error.strerror}). Name a folder with --runs and --model_dir."
        ) from error


def _read(run: Run) -> tuple[list[Record], list[str]]:
    """The runs that can be read, and a line for each that cannot."""
    patterns = run.runs
    if not patterns and run.model_dir is not None and folders.is_sweep(pathlib.Path(run.model_dir)):
        patterns = (os.path.join(glob.escape(run.model_dir), "*"),)
    if not patterns:
        if run.model_dir is None:
            raise UserError(
                f"--mode=report: {run.experiment} has no run in runs/. Train it first, or give --model_dir=DIR."
            )
        return [reading.read(pathlib.Path(run.model_dir))], []
    found, left_out = [], []
    for folder in reading.find(patterns):
        try:
            found.append(reading.read(folder))
        except UserError as error:
            left_out.append(str(error))
    if not found:
        raise UserError(left_out[0])
    return found, left_out


def _measured(record: Record, measurement: Measurement, run: Run, left_out: list[str]) -> Record:
    """The run with what a figure needs of its model: measured if no earlier report kept it, and kept in RUN/report."""
    name = measurement.name
    if name in record.measured or not measurement.is_shown(record):
        return record
    if not run.quiet:
        print(f"measuring the {name.replace('_', ' ')} of {record.folder}", file=sys.stderr, flush=True)
    try:
        stamp = measurements.stamp(record.folder)
        value = _measure(measurement.module, record.folder, run)
    except (UserError, FileNotFoundError) as error:
        left_out.append(f"{measurement.figure} without {record.folder}: {error}")
        return record
    try:
        measurement.keep(record.folder, value, stamp)
    except OSError as error:
        left_out.append(f"{measurement.path(record.folder)}: not kept for the next report ({error.strerror})")
    return dataclasses.replace(record, measured={**record.measured, name: value})


def _measure(name: str, folder: pathlib.Path, run: Run) -> dict:
    """What module `name` measures of the finished run in `folder`, on a device and in the data folder of `run`.

    Raises:
        UserError: the model or the data set is not there.
    """
    module = importlib.import_module(name)  # loads TensorFlow, as the next two do
    from trainers.session import open_session

    flags = {"devices": re.split(r"[,*]", run.devices)[0]} if run.devices else {}
    bound = Run.of_folder(folder, "report", data_dir=run.data_dir, strategy="one_device", quiet=True, **flags)
    session = open_session(bound)
    return module.measure(session.task, session.strategy, session.load_model())


def _write(folder: pathlib.Path, groups, drawings, left_out) -> list[pathlib.Path]:
    folder.mkdir(parents=True, exist_ok=True)
    tabulated = papers.tabulate(groups)
    written = []
    for drawing in drawings:
        for ending, content in ((".png", style.as_png), (".svg", style.as_svg)):
            written.append(folder / f"{drawing.name}{ending}")
            write_bytes(written[-1], content(drawing.figure))
    (folder / "csv").mkdir(exist_ok=True)
    texts = {
        **{f"csv/{table.name}.csv": tables.as_csv(table) for table in (*tabulated, page.runs_table(groups))},
        "tables.md": "\n".join([f"{tables.header_line(groups)}\n", *map(tables.as_markdown, tabulated)]),
        "index.html": page.html_page(groups, drawings, tabulated, left_out),
    }
    for name, text in texts.items():
        written.append(folder / name)
        write_text(written[-1], text)
    written.append(folder / "tables.json")
    write_json(written[-1], {"tables": [tables.as_json(table) for table in tabulated]})
    return written

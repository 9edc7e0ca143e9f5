"""The report as one page: `index.html`, which shows the figures and tables of its folder."""

from __future__ import annotations

import html
from collections.abc import Sequence

from trainers.figures import tables
from trainers.figures.records import Group
from trainers.figures.style import Drawing, NotDrawn
from trainers.figures.tables import Table

CSS = """\
body { max-width: 60rem; margin: 2.5rem auto; padding: 0 1.25rem; color: #222; background: #fff;
       font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
p, figcaption, li { color: #444; } figure { margin: 2.5rem 0; } img { max-width: 100%; height: auto; }
figcaption { font-size: .92rem; max-width: 48rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; margin: .75rem 0; }
th, td { padding: .35rem .8rem .35rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #e4e4e4; }
th { color: #666; font-weight: 600; vertical-align: bottom; border-bottom-color: #aaa; }
td { font-variant-numeric: tabular-nums; } code { font-size: .9em; } a { color: #1f5fa8; }
"""


def html_page(
    groups: Sequence[Group], drawings: Sequence[Drawing], tabulated: Sequence[Table], left_out: Sequence[str]
) -> str:
    """The page; `left_out` says which runs and figures are missing, and why."""
    title = f"Report on {_count(groups)}"
    parts = [
        f"<h1>{title}</h1>",
        "<p>Drawn by <code>--mode=report</code> from the folders of these runs. Numbers of the paper are on the "
        "paper's own data set; ≈ marks those read off its printed figures.</p>",
        *(_figure(drawing) for drawing in drawings),
        *(_section(table.title, f"<p>{html.escape(table.caption)}</p>" + _scrolled(table)) for table in tabulated),
        _section("Runs", _scrolled(runs_table(groups))),
    ]
    if left_out:
        items = "".join(f"<li>{html.escape(line)}</li>" for line in left_out)
        parts.append(_section("Left out", f"<ul>{items}</ul>"))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{CSS}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def _count(groups: Sequence[Group]) -> str:
    records = [record for group in groups for record in group.records]
    return html.escape(f"{len(records)} runs") if len(records) > 1 else f"{html.escape(groups[0].name)}"


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{html.escape(title)}</h2>\n{body}\n</section>"


def _scrolled(table: Table) -> str:
    return f'<div class="scroll">{tables.as_html(table)}</div>'


def _figure(drawing: Drawing) -> str:
    name = html.escape(drawing.name)
    return (
        f'<figure>\n<a href="{name}.png"><img src="{name}.svg" alt="{html.escape(drawing.title)}"></a>\n'
        f"<figcaption><b>{html.escape(drawing.title)}.</b> {html.escape(drawing.caption)}</figcaption>\n</figure>"
    )


def runs_table(groups: Sequence[Group]) -> Table:
    """Every run that was read."""
    rows = [
        (
            str(record.folder),
            group.name,
            tables.data_cell(group),
            str(record.seed),
            f"{record.last_step:,}",
            "finished" if record.is_finished else "not finished",
        )
        for group in groups
        for record in group.records
    ]
    return Table("runs", "Runs", "", ("folder", "experiment", "data", "seed", "steps", "state"), tuple(rows))


def lines_of_missing(drawn: Sequence[Drawing | NotDrawn]) -> list[str]:
    return [f"{drawing.title}: {drawing.reason}" for drawing in drawn if isinstance(drawing, NotDrawn)]

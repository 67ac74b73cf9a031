"""Several runs beside each other: two models, or checkpoints of one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rote.errors import InputError
from rote.page.document import Column, Document, Lead, Paragraph, Section, Table
from rote.page.html import html_of
from rote.page.text import text_of
from rote.page.view import View
from rote.records import RunFolder
from rote.records.files import write_atomically
from rote.records.outcomes import lined_up
from rote.records.study import differences
from rote.report.comparison.differences import difference_table, shared_rows
from rote.report.comparison.verdicts import verdict_section, verdicts_that_differ
from rote.report.load import load_view

_FOOTER = (
    "Values in brackets are 95 % intervals. Differences take the runs as independent: half-widths add in quadrature, "
    "each side for itself, so runs on the same facts differ rather more surely than shown. A star marks an interval "
    "that leaves out 0; among many differences one in twenty does so by chance. Controls are built for each run and "
    "compared in the line-up only."
)
_MOST_IN_NAME = 60


def compare(*runs: str | Path, out: str | Path | None = None, force: bool = False) -> Path:
    """Write one offline HTML page that sets finished runs beside each other, and return its path.

    `out` defaults to a name made of the runs' names, in the current folder. Raises InputError for fewer than two
    runs and where `out` exists (unless `force`), RunError where a folder is not that of a finished run.
    """
    document = compare_document(*runs)
    path = Path(out) if out is not None else Path(default_name(run_names(runs)))
    if path.exists() and not force:
        raise InputError(f"{path} exists; choose another file, or replace it with --force (force=True)")
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: expected a file in a folder that exists")
    write_atomically(path, html_of(document).encode("utf-8"))
    return path


def render_comparison(*runs: str | Path) -> str:
    """The same page as plain text. Raises InputError and RunError as `compare` does."""
    return text_of(compare_document(*runs))


def compare_document(*runs: str | Path) -> Document:
    """Verdicts and line-ups first, then differences experiment by experiment.

    Raises InputError for fewer than two runs, RunError where a folder is not that of a finished run.
    """
    if len(runs) < 2:
        raise InputError(f"{len(runs)} run folder given; expected at least two to compare")
    names = run_names(runs)
    views = [load_view(RunFolder.read_only(run)) for run in runs]
    named = tuple(zip(names, views, strict=True))
    return Document(
        title=f"{', '.join(names[:-1])} and {names[-1]} compared",
        subtitle="; ".join(f"{name}: model {view.study.get('model', 'unknown')}" for name, view in named) + ".",
        leads=(_lead(named),),
        front=(verdict_section(named),),
        sections=(*_differences(names, views), _setups(named)),
        footer=_FOOTER,
    )


def run_names(runs: Sequence[str | Path]) -> tuple[str, ...]:
    """The folders' names, with as many folders above them as tell them apart; equal paths are numbered."""
    paths = [Path(run).resolve() for run in runs]
    for depth in range(1, max(len(p.parts) for p in paths) + 1):
        names = ["/".join(p.parts[-depth:]) for p in paths]
        if len(set(names)) == len(names):
            return tuple(names)
    return tuple(f"{p.name} ({i})" for i, p in enumerate(paths, start=1))


def default_name(names: Sequence[str]) -> str:
    """ "compare-a-b.html" for runs a and b."""
    joined = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(names))[:_MOST_IN_NAME].strip("-.")
    return f"compare-{joined}.html"


def _lead(named: tuple[tuple[str, View], ...]) -> Lead:
    judged = [name for name, view in named if lined_up(view.outcomes)]
    if len(judged) < 2:
        unjudged = [name for name, view in named if not lined_up(view.outcomes)]
        return Lead(
            headline="No verdicts to compare.",
            sentences=(f"No line-up was judged in {' and '.join(unjudged)}.",),
        )
    changed, total = verdicts_that_differ(named)
    if not total:
        return Lead(headline="No verdict is shared by these runs.", sentences=("They were asked other relations.",))
    if not changed:
        return Lead(headline=f"All {total} shared verdicts are the same.", sentences=())
    verb = "differs" if len(changed) == 1 else "differ"
    return Lead(headline=f"{len(changed)} of {total} shared verdicts {verb}.", sentences=changed)


def _differences(names: tuple[str, ...], views: list[View]) -> tuple[Section, ...]:
    by: dict[str, list[tuple[object, ...]]] = {}
    rows = shared_rows(views)
    for key in rows:
        by.setdefault(str(key[0]), []).append(key)
    sections = tuple(
        Section(
            name=f"differences_{experiment}",
            title=f"Differences: {experiment.replace('_', ' ')}",
            blocks=(difference_table(names, experiment, [rows[key] for key in keys]),),
        )
        for experiment, keys in by.items()
    )
    nothing = Paragraph(text="These runs share no value: no statistic of one has a counterpart in another.")
    return sections or (Section(name="differences", title="Differences", blocks=(nothing,)),)


def _setups(named: tuple[tuple[str, View], ...]) -> Section:
    """The fields of study.json that differ from the first run's."""
    first_name, first = named[0]
    rows = tuple((name, line) for name, view in named[1:] for line in differences(first.study, view.study))
    if not rows:
        same: Paragraph | Table = Paragraph(text="The runs were set up alike.")
    else:
        same = Table(
            caption=f"Fields of study.json that differ ({first_name} -> run)",
            columns=(Column(title="run"), Column(title="field")),
            rows=rows,
        )
    return Section(name="how_they_were_run", title="How they were run", blocks=(same,))

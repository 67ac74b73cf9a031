"""A run folder in, report.html out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rote.experiments.entry import Draw
from rote.page.html import html_of
from rote.page.text import leads_of, text_of
from rote.records import RunFolder
from rote.report.assemble import build_document
from rote.report.load import load_view


def write_report(folder: str | Path, sections: Mapping[str, Draw] | None = None) -> Path:
    """Write `report.html` into a run folder: one file that needs no network, and return its path.

    `sections`: how experiments that are not rote's own are drawn, by name. Raises RunError where the folder is not that
    of a finished run, StorageError where the page cannot be written.
    """
    run = RunFolder.read_only(folder)
    return run.write_derived("report.html", html_of(build_document(load_view(run), sections)))


def render_text(folder: str | Path) -> str:
    """The same report as plain text, figures by their captions. Raises RunError as `write_report` does."""
    return text_of(build_document(load_view(RunFolder.read_only(folder))))


def lead_text(folder: str | Path) -> str:
    """The report's answer in words. Raises RunError as `write_report` does."""
    return leads_of(build_document(load_view(RunFolder.read_only(folder))))

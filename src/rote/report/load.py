"""A run folder as a View: study.json, summary, absent values, and long tables when a section asks for one."""

from __future__ import annotations

import pandas as pd

from rote.errors import RunError
from rote.records import RunFolder
from rote.report.view import View


def load_view(run: RunFolder) -> View:
    """The tables of a finished run; RunError where the run is not finished."""
    if not run.finished:
        raise RunError(f"{run.path} has no summary yet: run the study again, it goes on where it was.")
    names = set(run.tables())

    def table(experiment: str, name: str) -> pd.DataFrame | None:
        return run.table(experiment, name) if (experiment, name) in names else None

    return View(study=run.study, summary=run.summary, absent=run.absent, table=table)

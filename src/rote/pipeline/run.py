"""`Run`: a finished or unfinished run folder as a person looks at it; needs no torch."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rote.records import RunFolder


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """What a study measured: `summary`, `absent`, `outcomes` and long tables as DataFrames, and its report."""

    records: RunFolder

    @property
    def path(self) -> Path:
        return self.records.path

    @property
    def study(self) -> Any:
        """What was studied and how: the content of study.json."""
        return self.records.study

    @property
    def summary(self) -> pd.DataFrame:
        """One row per value, in the public format."""
        return self.records.summary

    @property
    def absent(self) -> pd.DataFrame:
        """What could not be computed, with reasons."""
        return self.records.absent

    def table(self, experiment: str, name: str | None = None) -> pd.DataFrame:
        """A long table of an experiment, for instance `table("known_facts")`."""
        return self.records.table(experiment, name)

    @property
    def outcomes(self) -> pd.DataFrame:
        """One row per verdict, as outcomes.json has them; judged now where that file has not been written yet."""
        from rote.judge import outcome_frame
        from rote.judge.outcomes import judge_tables

        path = self.path / "outcomes.json"
        return outcome_frame(json.loads(path.read_bytes()) if path.is_file() else judge_tables(self.records))

    def judge(self) -> pd.DataFrame:
        """Judge the run again from its tables, write outcomes.json, and return its rows."""
        from rote.judge import judge_run, outcome_frame

        return outcome_frame(judge_run(self.records))

    def report(self) -> Path:
        """Write report.html, one file that works offline, and return its path."""
        from rote.report import write_report

        return write_report(self.path)

    def _repr_html_(self) -> str:
        return f"<p>rote run in <code>{html.escape(str(self.path))}</code></p>" + self.summary.to_html(max_rows=20)


def open_run(folder: str | Path) -> Run:
    """Open a run folder for reading; RunError where there is none."""
    return Run(records=RunFolder.read_only(folder))

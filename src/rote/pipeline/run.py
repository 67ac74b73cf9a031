"""`Run`: a finished or unfinished run folder as a person looks at it; needs no torch."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rote.errors import InputError
from rote.records import RunFolder

if TYPE_CHECKING:
    from rote.experiments.entry import Draw


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
        """A long table of an experiment, for instance `table("known_facts")`; InputError with those that there are."""
        return self.records.table(experiment, name)

    def observations(self, experiment: str, statistic: str | None = None) -> pd.DataFrame:
        """The values behind an experiment's means: one row per fact and mean, with `entity` and the mean's key fields.

        Of at most max_entities facts of every mean over facts; float32. InputError where the run keeps none, with the
        experiments that it has some of.
        """
        kept = [o for _, record in self.records.recorded(experiment) for o in record.observations]
        if not kept:
            raise InputError(
                f"{self.path} keeps no values of single facts for {experiment!r}; expected an experiment that reports "
                f"means over facts: {', '.join(self._observed()) or 'this run has none'}"
            )
        found = pd.concat([o.frame() for o in kept], ignore_index=True)
        return found if statistic is None else found[found["statistic"] == statistic].reset_index(drop=True)

    def _observed(self) -> list[str]:
        measured = self.summary["experiment"].unique() if self.records.finished else ()
        return [str(name) for name in measured if any(r.observations for _, r in self.records.recorded(name))]

    def arrays(self, experiment: str) -> dict[str, np.ndarray]:
        """What an experiment made and kept with the run, by `item/name`."""
        kept = self.records.recorded(experiment)
        return {f"{shard.item}/{name}": array for shard, record in kept for name, array in record.arrays.items()}

    @property
    def outcomes(self) -> pd.DataFrame:
        """One row per verdict, as outcomes.json has them; judged now where that file has not been written yet.

        RunError where the run is not finished.
        """
        from rote.judge import outcome_frame
        from rote.judge.outcomes import judge_tables

        path = self.path / "outcomes.json"
        return outcome_frame(json.loads(path.read_bytes()) if path.is_file() else judge_tables(self.records))

    def judge(self) -> pd.DataFrame:
        """Judge the run again from its tables, write outcomes.json, and return its rows.

        RunError where the run is not finished or being written, StorageError where the file cannot be written.
        """
        from rote.judge import judge_run, outcome_frame

        return outcome_frame(judge_run(self.records))

    def report(self, sections: Mapping[str, Draw] | None = None) -> Path:
        """Write report.html, one file that works offline, and return its path.

        `sections`: how experiments of your own are drawn, by name; without one, as their cards describe them. RunError
        where the run is not finished or being written, StorageError where the file cannot be written.
        """
        from rote.report import write_report

        return write_report(self.path, sections)

    def _repr_html_(self) -> str:
        return f"<p>rote run in <code>{html.escape(str(self.path))}</code></p>" + self.summary.to_html(max_rows=20)


def open_run(folder: str | Path) -> Run:
    """Open a run folder for reading; RunError where there is none."""
    return Run(records=RunFolder.read_only(folder))

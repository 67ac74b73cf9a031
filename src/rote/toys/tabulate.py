"""Rows of the public format from one value per network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from rote.catalog import ExperimentCard
from rote.errors import NotApplicable
from rote.records import Absent, Record, Row
from rote.statistics import Estimate, clopper_pearson, mean_of_runs


@dataclass(kw_only=True, eq=False)
class Rows:
    """Collects the rows of one card; a network is one independent observation. KeyError for what the card lacks."""

    card: ExperimentCard
    seed: int
    rows: list[Row] = field(default_factory=list)
    absents: list[Absent] = field(default_factory=list)

    def mean(self, statistic: str, values: Float[np.ndarray, " network"], **key: Any) -> None:
        """The mean over networks with Student's interval; absent where no network has a value."""
        values = np.asarray(values, dtype=float)
        values = values[np.isfinite(values)]
        if not len(values):
            self.absent(statistic, "no network has a value", **key)
            return
        self.estimate(statistic, mean_of_runs(values), **key)

    def geometric(self, statistic: str, values: Float[np.ndarray, " network"], **key: Any) -> None:
        """The geometric mean of positive values, with Student's interval of their logarithms."""
        if not len(values):
            self.absent(statistic, "no network has a value", **key)
            return
        logs = mean_of_runs(np.log(values))
        low, high = (None if end is None else float(np.exp(end)) for end in (logs.ci_low, logs.ci_high))
        found = Estimate(value=float(np.exp(logs.value)), ci_low=low, ci_high=high, n=logs.n)
        self.estimate(statistic, found, **key)

    def share(self, statistic: str, n_found: int, n: int, **key: Any) -> None:
        """A share of networks with its exact interval."""
        try:
            self.estimate(statistic, clopper_pearson(n_found, n), **key)
        except NotApplicable as error:
            self.absent(statistic, error.reason, **key)

    def estimate(self, statistic: str, estimate: Estimate, **key: Any) -> None:
        self.rows.append(Row(statistic=statistic, **estimate.fields, **self._common(statistic), **key))

    def absent(self, statistic: str, reason: str, **key: Any) -> None:
        self.absents.append(Absent(statistic=statistic, reason=reason, **self._common(statistic), **key))

    def _common(self, statistic: str) -> dict[str, Any]:
        unit = self.card.statistic(statistic).unit
        return {"experiment": self.card.name, "stack": "model", "unit": unit, "seed": self.seed}

    def record(self, **tables: pd.DataFrame) -> Record:
        return Record(rows=tuple(self.rows), absent=tuple(self.absents), tables=tables)

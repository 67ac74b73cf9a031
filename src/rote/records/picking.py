"""The one row that decides a cell, picked from a run's tables: for the judge and for the report alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from rote.catalog import Prediction
from rote.errors import RunError
from rote.records.outcomes import Position

EFFECTIVE = "effective"
_NULL = ("source", "head", "neuron", "cls", "position", "parameters")


class Cell:
    """The rows and absent entries of one prediction's statistic in one relation, for every stack.

    layer: where the prediction does not say "first" or "last", the layer of the row; None for the one over all layers.
    """

    def __init__(
        self,
        prediction: Prediction,
        relation: str | None,
        summary: pd.DataFrame,
        absent: pd.DataFrame,
        *,
        layer: int | None = None,
    ) -> None:
        self.prediction, self.relation = prediction, relation
        wanted = {"condition": prediction.select.condition, "site": prediction.select.site}
        wanted |= dict.fromkeys(_NULL)
        mine = _statistic(summary, prediction, relation)
        self.rows = mine[_matches(mine, wanted)]
        self.absent = _statistic(absent, prediction, relation)
        gone = self.absent[_matches(self.absent, wanted)]
        layers = [int(layer) for frame in (self.rows, gone) for layer in frame["layer"].dropna()]
        self.layer = {"all": layer, "first": min(layers, default=None), "last": max(layers, default=None)}[
            prediction.select.layer
        ]

    def position(self, stack: str) -> Position | None:
        """Where a stack stands; None where it has no such value. RunError where it has several."""
        if self.prediction.select.layer != "all" and self.layer is None:
            return None
        rows = self.rows[(self.rows["stack"] == stack) & _is(self.rows["layer"], self.layer)]
        if len(rows) > 1:
            raise RunError(
                f"the summary has {len(rows)} values of {self.prediction.statistic} for {stack} ({self.relation}): "
                "expected one row that decides; run the study again with this version of rote"
            )
        if rows.empty:
            return None
        row = rows.iloc[0]
        return Position(
            name=stack,
            value=float(row["value"]),
            low=_real(row["ci_low"]),
            high=_real(row["ci_high"]),
            members=None if pd.isna(row["n"]) else int(row["n"]),
        )

    def reason(self, stack: str) -> str:
        """Why a stack has no value: the entry for this very row, else the one for the whole statistic."""
        gone = self.absent[self.absent["stack"] == stack]
        select = self.prediction.select
        for key in (
            {"condition": select.condition, "site": select.site, "layer": self.layer},
            {"condition": select.condition, "site": None, "layer": None},
            {"condition": None, "site": None, "layer": None},
        ):
            found = gone[_matches(gone, key)]
            if not found.empty:
                return str(found["reason"].iloc[0])
        if not gone.empty:
            return str(gone["reason"].iloc[0])
        if stack == EFFECTIVE and not (whole := self.absent[self.absent["stack"] == "model"]).empty:
            return str(whole["reason"].iloc[0])  # what stopped the study before there was an effective model
        return f"the run has no {self.prediction.statistic} of {'the effective model' if stack == EFFECTIVE else 'it'}"


def _statistic(frame: pd.DataFrame, prediction: Prediction, relation: str | None) -> pd.DataFrame:
    return frame[
        (frame["experiment"] == prediction.experiment)
        & (frame["statistic"] == prediction.statistic)
        & _is(frame["relation"], relation)
    ]


def _matches(frame: pd.DataFrame, wanted: Mapping[str, object]) -> pd.Series[bool]:
    found = pd.Series(True, index=frame.index)
    for column, value in wanted.items():
        found &= _is(frame[column], value)
    return found


def _is(column: pd.Series[Any], value: object) -> pd.Series[bool]:
    """Which entries are a value, None for the empty ones."""
    return column.isna() if value is None else (column == value).fillna(False).astype(bool)


def _real(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)

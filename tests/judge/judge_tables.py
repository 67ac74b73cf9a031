"""Tables of a run with a line-up, of known content: every cell's controls and model where a test puts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from rote.catalog import CONTROLS, PREDICTIONS, Prediction, control
from rote.records import Absent, Row, absent_frame, summary_frame

Place = tuple[float, float, float]  # value, low, high

WITH, WITHOUT = 0.2, 0.8
HALF = 0.05
LAYERS = (2, 3, 4)
N_MEMBERS = 20


def place(value: float, half: float = HALF) -> Place:
    return value, value - half, value + half


def prediction(cell: str) -> Prediction:
    """By its name in certification.json."""
    (found,) = (p for p in PREDICTIONS if p.cell == cell)
    return found


def row(p: Prediction, stack: str, where: Place | float, relation: str = "sport", **changes: Any) -> Row:
    """The row of a stack that decides a cell; a bare number has no interval."""
    value, low, high = where if isinstance(where, tuple) else (where, None, None)
    layer = {"all": None, "first": LAYERS[0], "last": LAYERS[-1]}[p.select.layer]
    key: dict[str, Any] = {
        "experiment": p.experiment,
        "stack": stack,
        "statistic": p.statistic,
        "condition": p.select.condition,
        "site": p.select.site,
        "layer": layer,
        "relation": relation,
        "seed": 0,
    }
    return Row(**{**key, "value": value, "ci_low": low, "ci_high": high, "n": N_MEMBERS, **changes})


def gone(p: Prediction, stack: str, reason: str, relation: str | None = "sport", **key: Any) -> Absent:
    return Absent(experiment=p.experiment, stack=stack, statistic=p.statistic, relation=relation, reason=reason, **key)


def cell_rows(p: Prediction, model: Place | float | None, **controls: Place | float) -> list[Row]:
    """The model, and the cell's controls at WITH and WITHOUT unless a test puts them elsewhere."""
    places: dict[str, Place | float] = {name: place(WITH) for name in p.with_controls}
    places |= {name: place(WITHOUT) for name in p.without_controls}
    places |= controls
    rows = [row(p, name, where) for name, where in places.items()]
    return rows if model is None else [row(p, "effective", model), *rows]


def controls_frame(
    relations: tuple[str, ...] = ("sport",), unmatched: Mapping[str, str] | None = None, leave_out: tuple[str, ...] = ()
) -> pd.DataFrame:
    """controls.parquet: all matched but those named, with the reason."""
    unmatched = unmatched or {}
    return pd.DataFrame(
        [
            {
                "relation": relation,
                "control": c.name,
                "n_members": N_MEMBERS,
                "n_matched": 0 if c.name in unmatched else N_MEMBERS,
                "matched": c.name not in unmatched,
                "exempt": control(c.name).exempt,
                "accuracy": 0.9,
                "rms_ratio": 1.0,
                "target_accuracy": 0.91,
                "reason": unmatched.get(c.name),
            }
            for relation in relations
            for c in CONTROLS
            if c.name not in leave_out
        ]
    )


def summary_of(rows: list[Row]) -> pd.DataFrame:
    return summary_frame(rows)


def absent_of(*rows: Absent) -> pd.DataFrame:
    return absent_frame(rows)

"""The tables of organism_capacity: one row per organism, means over seeds, and how capacity grows with parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from rote.errors import NotApplicable
from rote.organisms.capacity import CapacityGrid, Held, OrganismSize
from rote.records import Absent, Record, Row
from rote.statistics import exponent, mean_of_runs

NAME = "organism_capacity"
CENSORED_SHARE = 0.9  # who knows more of the largest number of facts could have held more


def member_record(size: OrganismSize, held: Held) -> Record:
    """One organism as one row of the table `organisms`."""
    return Record(tables={"organisms": pd.DataFrame([{**asdict(size), **asdict(held)}])})


def over_organisms(grid: CapacityGrid, records: Sequence[Record]) -> Record:
    """Means over seeds, the most that each width holds, and exponents, from all organisms' rows."""
    frame = pd.concat([record.tables["organisms"] for record in records], ignore_index=True)
    frame["per_parameter"] = frame["bits"] / frame["n_parameters"]
    rows: list[Row] = []
    absent: list[Absent] = []
    for (d_model, n_facts, exposures), cell in frame.groupby(["d_model", "n_facts", "exposures"], sort=True):
        given = {"d_model": d_model, "n_facts": n_facts, "exposures": exposures}
        rows.append(_row(grid, "n_known", cell["n_known"], "count", given))
        rows.append(_row(grid, "bits_per_parameter", cell["per_parameter"], "bits", given))
    for exposures in sorted(set(frame["exposures"])):
        of_these = frame[frame["exposures"] == exposures]
        for d_model, width in of_these.groupby("d_model", sort=True):
            best = width.groupby("seed")[["n_known", "per_parameter"]].max()
            given = {
                "d_model": d_model,
                "exposures": exposures,
                "parameters": int(width["n_parameters"].iloc[0]),
                "block_parameters": int(width["n_block_parameters"].iloc[0]),
            }
            rows.append(_row(grid, "facts_held", best["n_known"], "count", given))
            rows.append(_row(grid, "bits_held", best["per_parameter"], "bits", given))
        _exponents(grid, of_these, int(exposures), rows, absent)
    return Record(rows=tuple(rows), absent=tuple(absent))


def _row(grid: CapacityGrid, statistic: str, values: pd.Series[float], unit: str, given: dict[str, object]) -> Row:
    estimate = mean_of_runs(values.to_numpy(dtype=float))
    return Row(
        experiment=NAME, stack="model", statistic=statistic, unit=unit, parameters=given, seed=grid.seed,
        **estimate.fields,
    )  # fmt: skip


def _exponents(grid: CapacityGrid, frame: pd.DataFrame, exposures: int, rows: list[Row], absent: list[Absent]) -> None:
    """Slopes over the widths whose number of facts was not too small for them."""
    best = frame.groupby(["d_model", "seed"], as_index=False).agg(
        {"n_known": "max", "bits": "max", "n_parameters": "first", "n_block_parameters": "first"}
    )
    widths = best.groupby("d_model").mean()
    full = widths[widths["n_known"] < CENSORED_SHARE * frame["n_facts"].max()]
    left_out = sorted(set(widths.index) - set(full.index))
    for statistic, values in (("capacity_exponent", "n_known"), ("bits_exponent", "bits")):
        for condition, against in (("parameters", "n_parameters"), ("block_parameters", "n_block_parameters")):
            key: dict[str, Any] = {
                "experiment": NAME, "stack": "model", "statistic": statistic, "condition": condition, "unit": "ratio",
                "seed": grid.seed,
                "parameters": {"exposures": exposures, "widths_left_out": left_out},
            }  # fmt: skip
            try:
                estimate = exponent(full[against].to_numpy(), full[values].to_numpy())
            except NotApplicable as error:
                absent.append(Absent(**key, reason=_reason(error.reason, left_out)))
            else:
                rows.append(Row(**key, **estimate.fields))


def _reason(reason: str, left_out: Sequence[object]) -> str:
    if not left_out:
        return reason
    widths = ", ".join(map(str, left_out))
    share = f"{CENSORED_SHARE:.0%}".replace("%", " %")
    return f"{reason} (the widths {widths} know over {share} of the most facts given, so they could hold more)"

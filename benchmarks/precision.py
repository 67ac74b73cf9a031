"""Every statistic of the demo in bfloat16 beside float32, written to docs/precision.md: `make precision`.

Two studies of the bundled organism without the line-up of controls: what a control is built from is float32 in both,
so the controls would only repeat how far the effective model's weights moved.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import rote
from rote.organisms import BUNDLED
from rote.organisms.demo import demo_facts

KEY = ["experiment", "stack", "statistic", "condition", "relation", "site", "source", "layer", "head", "neuron"]
KEY += ["cls", "position", "parameters"]
REFERENCE, NARROW = "float32", "bfloat16"
INTRODUCTION = """# bfloat16 beside float32

Written by `make precision`: the demo (the bundled organism, relation `sport`) studied twice without the line-up of
controls, once in float32, which is the reference, and once in bfloat16. What is read and all linear algebra on weights
is float32 in both. Differences are absolute, in the statistic's unit. *In one only*: rows that one of the two studies
has and the other has not, for instance of another neuron that was chosen, or of another head that ranked among the
first. *Intervals apart*: rows whose 95 % intervals do not overlap, of those that have one.
"""


def study(dtype: str, folder: Path) -> pd.DataFrame:
    """The summary of the demo in one dtype, or of what a folder holds of it already."""
    model = rote.load_model(BUNDLED, dtype=dtype, name="rote's bundled organism")
    return rote.study(model, demo_facts(), folder=folder / dtype, relation="sport", controls=()).summary


def differences(reference: pd.DataFrame, narrow: pd.DataFrame) -> pd.DataFrame:
    """Per experiment and statistic: rows in both, in one alone, |difference|, and intervals that do not overlap."""
    both = reference.merge(narrow, on=KEY, how="outer", suffixes=("", "_narrow"), indicator=True)
    found = []
    for (experiment, statistic), rows in both.groupby(["experiment", "statistic"], sort=False):
        paired = rows[rows["_merge"] == "both"]
        gap = (paired["value"] - paired["value_narrow"]).abs().to_numpy(dtype=float)
        bounds = ["ci_low", "ci_high", "ci_low_narrow", "ci_high_narrow"]
        intervals = paired.dropna(subset=bounds)
        apart = (intervals["ci_low"] > intervals["ci_high_narrow"]) | (
            intervals["ci_low_narrow"] > intervals["ci_high"]
        )
        found.append(
            {
                "experiment": experiment,
                "statistic": statistic,
                "unit": str(rows["unit"].fillna(rows["unit_narrow"]).iloc[0]),
                "rows": len(paired),
                "only one": len(rows) - len(paired),
                "median": float(np.median(gap)) if len(gap) else None,
                "max": float(gap.max()) if len(gap) else None,
                "intervals": len(intervals),
                "apart": int(apart.sum()),
            }
        )
    return pd.DataFrame(found).sort_values(["experiment", "statistic"], ignore_index=True)


def page(found: pd.DataFrame) -> str:
    """docs/precision.md."""
    paired, alone = int(found["rows"].sum()), int(found["only one"].sum())
    intervals, apart = int(found["intervals"].sum()), int(found["apart"].sum())
    head = "| experiment | statistic | unit | rows | in one only | median difference | largest | intervals apart |"
    lines = [INTRODUCTION, f"In all {paired:,} rows are in both and {alone:,} in one only;"]
    lines += [f"{apart:,} of {intervals:,} pairs of intervals do not overlap.", "", head]
    lines.append("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for row in found.to_dict("records"):
        middle, largest = (_number(row[name]) for name in ("median", "max"))
        lines.append(
            f"| {row['experiment']} | `{row['statistic']}` | {row['unit']} | {row['rows']:,} | {row['only one']:,} | "
            f"{middle} | {largest} | {row['apart']} of {row['intervals']:,} |"
        )
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else "0" if value == 0 else f"{value:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/precision"), help="where the two studies are kept")
    parser.add_argument("--out", type=Path, default=Path("docs/precision.md"))
    given = parser.parse_args()
    summaries = [study(dtype, given.runs) for dtype in (REFERENCE, NARROW)]
    given.out.write_text(page(differences(*summaries)), encoding="utf-8")


if __name__ == "__main__":
    main()

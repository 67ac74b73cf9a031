"""A line-up of known content: every control's rows, how it was matched, and verdicts of every kind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from synthetic_run import BUNDLED, write_run
from synthetic_world import World, row

from rote.catalog import CONTROLS, PREDICTIONS, Prediction
from rote.experiments import ENTRIES, card
from rote.records import Absent, Record, Row

CARDS = tuple(entry.card for entry in ENTRIES)

UNMATCHED = "partial_hash_1000"
SILENT = "shuffled"  # has a reason in place of each value
# each prediction's place among the verdicts decides what its values look like
KINDS = ("consistent", "not decisive", "inconsistent", "in between", "unlike all controls", "not applicable")


def kind_of(prediction: Prediction) -> str:
    return KINDS[PREDICTIONS.index(prediction) % len(KINDS)]


def lineup_run(folder: Path, world: World = BUNDLED, *, per_control: int = 0, shift: float = 0.0) -> Path:
    """A full run with a line-up; `per_control` further rows for each control, `shift` moves the model."""
    records = {card.name: world.record(card.name) for card in CARDS}
    values, absent = _primary(world, shift)
    for experiment in {p.experiment for p in PREDICTIONS}:
        record = records.get(experiment, Record())
        mine = tuple(r for r in values if r.experiment == experiment)
        keys = {_key(r) for r in mine}
        kept = tuple(r for r in record.rows if _key(r) not in keys)
        gone = tuple(a for a in absent if a.experiment == experiment)
        records[experiment] = replace(record, rows=kept + mine, absent=record.absent + gone)
    probes = records["layer_probes"]
    more = tuple(
        row("layer_probes", "probe_accuracy", 0.77, layer=i, stack=c.name, relation=world.relation, site="resid_post")
        for c in CONTROLS
        for i in range(per_control)
    )
    records["layer_probes"] = replace(probes, rows=probes.rows + more)
    records["lineup"] = Record(tables={"controls": _controls(world)})
    write_run(folder, world, records)
    (folder / "outcomes.json").write_text(json.dumps(outcomes(world, values), ensure_ascii=False), encoding="utf-8")
    return folder


def _key(r: Row) -> tuple[Any, ...]:
    return (r.stack, r.statistic, r.condition, r.relation, r.site, r.layer, r.cls, r.source, r.head, r.parameters)


def _primary(world: World, shift: float) -> tuple[tuple[Row, ...], tuple[Absent, ...]]:
    """The judged rows of the model and of every control; a test's first prediction decides its values."""
    rows, absent = [], []
    seen: set[tuple[Any, ...]] = set()
    for prediction in PREDICTIONS:
        test = (prediction.experiment, prediction.statistic, prediction.select)
        if test in seen:
            continue
        seen.add(test)
        key = _place(world, prediction)
        for index, control in enumerate(CONTROLS):
            if control.name == SILENT:
                key_of_absent = {k: v for k, v in key.items() if k != "n"}
                absent.append(Absent(stack=SILENT, reason="constant output", **key_of_absent))
                continue
            rows.append(_row(key, control.name, _value(prediction, control.name, index), width=0.05, n=20))
        if kind_of(prediction) != "not applicable":
            rows.append(_row(key, "effective", _model(prediction) + shift, width=0.04, n=120))
    return tuple(rows), tuple(absent)


def _place(world: World, prediction: Prediction) -> dict[str, Any]:
    layer = {"all": None, "first": world.window[0], "last": world.window[1]}[prediction.select.layer]
    return {
        "experiment": prediction.experiment,
        "statistic": prediction.statistic,
        "condition": prediction.select.condition,
        "site": prediction.select.site,
        "layer": layer,
        "relation": world.relation,
        "unit": card(prediction.experiment).statistic(prediction.statistic).unit,
    }


def _row(key: dict[str, Any], stack: str, value: float, *, width: float, n: int) -> Row:
    return Row(stack=stack, value=value, ci_low=value - width, ci_high=value + width, n=n, **key)


def _value(prediction: Prediction, control: str, index: int) -> float:
    apart = 0.0 if kind_of(prediction) == "not decisive" else 0.5
    if control in prediction.with_controls:
        return 0.25 + apart + 0.01 * index
    return 0.25 + 0.01 * index if control in prediction.without_controls else 0.05 * index


def _model(prediction: Prediction) -> float:
    at = {"consistent": 0.78, "inconsistent": 0.29, "in between": 0.55, "unlike all controls": 1.2, "not decisive": 0.3}
    return at[kind_of(prediction)]


def outcomes(world: World, rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    """What a judge would write of these rows: one verdict for each prediction, by its kind."""
    found = []
    for p in PREDICTIONS:
        by = {r.stack: r for r in rows if (r.experiment, r.statistic, r.condition) == _about(p)}
        model = by.get("effective")
        verdict = kind_of(p) if model else "not applicable"
        found.append(
            {
                "hypothesis": p.hypothesis,
                "experiment": p.experiment,
                "statistic": p.statistic,
                "condition": p.select.condition,
                "relation": world.relation,
                "verdict": verdict,
                "value": model.value if model else None,
                "value_low": model.ci_low if model else None,
                "value_high": model.ci_high if model else None,
                "with_controls": [_reference(by, c) for c in p.with_controls if c in by and c != UNMATCHED],
                "without_controls": [_reference(by, c) for c in p.without_controls if c in by and c != UNMATCHED],
                "t": 0.97 if verdict == "consistent" else None,
                "reason": f"reason of {p.statistic} for {p.hypothesis}",
            }
        )
    return found


def _about(p: Prediction) -> tuple[str, str, str | None]:
    return (p.experiment, p.statistic, p.select.condition)


def _reference(by: dict[str | None, Row], control: str) -> dict[str, Any]:
    r = by[control]
    return {"control": control, "value": r.value, "low": r.ci_low, "high": r.ci_high, "members": r.n}


def _controls(world: World) -> pd.DataFrame:
    n = len(CONTROLS)
    names = [c.name for c in CONTROLS]
    return pd.DataFrame(
        {
            "relation": [world.relation] * n,
            "control": names,
            "n_members": [20] * n,
            "n_matched": [0 if name == UNMATCHED else 20 for name in names],
            "matched": [name != UNMATCHED for name in names],
            "exempt": [c.exempt for c in CONTROLS],
            "accuracy": np.where([name == "class_booster" for name in names], np.nan, 0.93),
            "rms_ratio": [1.02] * n,
            "target_accuracy": [0.943] * n,
            "reason": ["accuracy 0.71 is not within 0.02 of 0.943" if name == UNMATCHED else None for name in names],
        }
    )

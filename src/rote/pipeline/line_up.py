"""The ◆ experiments on the line-up: on each member of each control, and over a control's members."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from rote.errors import NotApplicable
from rote.experiments.base import Experiment, StackExperiment
from rote.lineup import Control, Member
from rote.records import Absent, Record, Row, absent_frame, summary_frame
from rote.records.rows import (
    ABSENT_FIELDS,
    SUMMARY_FIELDS,
    absent_from_dict,
    row_dict,
    row_from_dict,
)
from rote.settings import Settings
from rote.statistics import new_member

LEAST_MATCHED = 3  # members; a control with fewer matched ones is drawn, and never used as a reference
# what tells two rows of a control apart; not the seed, which is the member's
KEY = [name for name in ABSENT_FIELDS if name not in ("reason", "seed", "stack", "unit")]
_NOTHING = dict.fromkeys(SUMMARY_FIELDS)


def stack_experiments(experiments: Sequence[Experiment]) -> tuple[StackExperiment, ...]:
    """The ◆ experiments among them, without the parts that only the studied stack needs."""
    return tuple(e.for_controls() for e in experiments if isinstance(e, StackExperiment))


def measure_member(member: Member, experiments: Sequence[StackExperiment], settings: Settings) -> Record:
    """One member through every ◆ experiment, as tables: `members` (rows), `members_absent`, `fits` (one row)."""
    settings = replace(settings, n_bootstrap=min(settings.n_bootstrap, settings.n_member_bootstrap))
    rows: list[Row] = []
    absent: list[Absent] = []
    relation = next(iter(member.stack.readouts))
    for experiment in experiments:
        try:
            record = experiment(member.stack, settings)
        except NotApplicable as error:
            record = experiment.absent(member.control, relation, settings, error.reason)
        rows += record.rows
        absent += record.absent
    fit = {
        "relation": relation,
        "control": member.control,
        "member": member.seed,
        "matched": member.matched,
        "accuracy": member.fit.accuracy,
        "target_accuracy": member.fit.target_accuracy,
        "rms_ratio": member.fit.rms_ratio,
        "reason": member.reason,
    }
    return _member_record(rows, absent, fit)


def not_built(
    control: Control,
    relation: str,
    seed: int,
    experiments: Sequence[StackExperiment],
    settings: Settings,
    reason: str,
) -> Record:
    """A member that the target gives nothing to build from: unmatched, everything absent."""
    absent = no_lineup(control, relation, experiments, settings, reason).absent
    nothing = dict.fromkeys(("accuracy", "target_accuracy", "rms_ratio"), float("nan"))  # stored as null
    fit = {"relation": relation, "control": control.name, "member": seed, "matched": False, **nothing, "reason": reason}
    return _member_record([], absent, fit)


def _member_record(rows: Sequence[Row], absent: Sequence[Absent], fit: Mapping[str, Any]) -> Record:
    return Record(
        tables={
            "members": summary_frame(rows).assign(member=fit["member"]),
            "members_absent": absent_frame(absent).assign(member=fit["member"]),
            "fits": pd.DataFrame([fit]).astype({"reason": "object"}),
        }
    )


def over_members(control: Control, records: Sequence[Record], settings: Settings) -> Record:
    """A control's rows: per value the mean over its matched members and the interval for a new member.

    Over all members where fewer than LEAST_MATCHED are matched; the table `controls` says so. A value that no member
    has is absent with the first member's reason.
    """
    fits = pd.concat([record.tables["fits"] for record in records], ignore_index=True)
    good = fits["matched"].to_numpy(dtype=bool)
    matched = int(good.sum()) >= min(LEAST_MATCHED, len(good))
    counted = [record for record, g in zip(records, good, strict=True) if g or not matched]
    values = _without_places(pd.concat([record.tables["members"] for record in counted], ignore_index=True))
    lacking = pd.concat([record.tables["members_absent"] for record in counted], ignore_index=True)
    rows = []
    for key, group in _by_key(values):
        # no interval of the members' own: they are measured on the very entities that the model is measured on
        estimate = new_member(group["value"].to_list(), [None] * len(group), [None] * len(group))
        rows.append(row_from_dict({**_NOTHING, **key, **estimate.fields, **_identity(control, settings)}))
    found = {_told_apart(row_dict(row)) for row in rows}
    absent = [
        absent_from_dict({**key, **_identity(control, settings), "reason": str(group["reason"].iloc[0])})
        for key, group in _by_key(lacking)
        if _told_apart(key) not in found
    ]
    return Record(
        rows=tuple(rows),
        absent=tuple(absent),
        tables={"controls": pd.DataFrame([_summary(control, fits, matched)]).astype({"reason": "object"})},
    )


def no_lineup(
    control: Control, relation: str, experiments: Sequence[StackExperiment], settings: Settings, reason: str
) -> Record:
    """Every statistic of every ◆ experiment absent on a control, for one reason."""
    parts = [experiment.absent(control.name, relation, settings, reason) for experiment in experiments]
    return Record(absent=tuple(absent for part in parts for absent in part.absent))


def _by_key(rows: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """(what it is the value of, the rows of all members) for every value, in the order in which values appear."""
    for _, group in rows.groupby(KEY, dropna=False, sort=False):
        yield {name: _plain(group[name].iloc[0]) for name in (*KEY, "unit")}, group


def _told_apart(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEY)


def _identity(control: Control, settings: Settings) -> dict[str, Any]:
    return {"stack": control.name, "seed": settings.seed}


def _without_places(rows: pd.DataFrame) -> pd.DataFrame:
    """A neuron that a search chose is another one in every member: its row counts for the search, not the neuron."""
    rows.loc[rows["neuron"].notna(), ["layer", "neuron"]] = None
    return rows.drop_duplicates([*KEY, "member"])


def _summary(control: Control, fits: pd.DataFrame, matched: bool) -> dict[str, object]:
    good = fits["matched"].to_numpy(dtype=bool)
    counted = fits[good] if matched else fits
    lacking = fits.loc[~good, "reason"].dropna()
    return {
        "relation": fits["relation"].iloc[0],
        "control": control.name,
        "n_members": len(fits),
        "n_matched": int(good.sum()),
        "matched": matched,
        "exempt": control.exempt,
        "accuracy": float(counted["accuracy"].mean()),
        "rms_ratio": float(counted["rms_ratio"].mean()),
        "target_accuracy": float(fits["target_accuracy"].mean()),
        "reason": None if matched else str(lacking.iloc[0]) if len(lacking) else "too few members",
    }


def _plain(value: Any) -> Any:
    """A cell of a table as a row takes it: text, a whole number, or None."""
    return None if pd.isna(value) else value if isinstance(value, str) else int(value)

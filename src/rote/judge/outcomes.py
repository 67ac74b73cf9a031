"""From a run's tables to its outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from rote.catalog import DOSES, PREDICTIONS, Certificate, certificates, hypothesis
from rote.judge.references import References, Side
from rote.judge.verdict import Numbers, Ruling, decide, nearest
from rote.records import RunFolder
from rote.records.files import json_lines
from rote.records.outcomes import OUTCOME_FIELDS, Outcome, Position
from rote.records.picking import EFFECTIVE, Cell

NO_LINEUP = "the run has no line-up"
CONTROL_FIELDS = (
    "relation", "control", "n_members", "n_matched", "matched", "exempt",
    "accuracy", "rms_ratio", "target_accuracy", "reason",
)  # fmt: skip


def verdicts(
    summary: pd.DataFrame,
    absent: pd.DataFrame,
    controls: pd.DataFrame,
    *,
    certified_only: bool = True,
    certified: Mapping[str, Certificate] | None = None,
) -> tuple[Outcome, ...]:
    """Every prediction of the catalog, judged in every relation of a run.

    summary, absent: the run's tables in the public format, the rows of a control under its name (value: mean over
    its matched members, interval: for a new member). controls: one row per relation and control, with `relation,
    control, matched, exempt, reason`; empty where the run has no line-up. With `certified_only`, a cell that
    `certified` (by default: this version's certification.json) does not vouch for is `not decisive`; calibration
    itself judges without. Raises RunError where a stack has several rows that would decide.
    """
    known = certified if certified is not None else certificates()
    if "relation" not in controls.columns:
        controls = pd.DataFrame(columns=list(CONTROL_FIELDS))
    outcomes = []
    for relation in relations(summary, absent):
        line_up = References(controls, relation)
        for prediction in PREDICTIONS:
            cell = Cell(prediction, relation, summary, absent)
            if controls.empty:
                outcomes.append(_outcome(cell, _not_applicable(NO_LINEUP)))
            else:
                outcomes.append(_judge(cell, line_up, known.get(prediction.cell), certified_only))
    return tuple(outcomes)


def relations(summary: pd.DataFrame, absent: pd.DataFrame) -> tuple[str, ...]:
    """The relations that were studied, in the order of the tables."""
    found: dict[str, None] = {}
    judged = {"known_facts"} | {p.experiment for p in PREDICTIONS}
    for frame in (summary, absent):
        for name in frame.loc[frame["experiment"].isin(judged), "relation"].dropna():
            found.setdefault(str(name))
    return tuple(found)


def _judge(cell: Cell, line_up: References, certificate: Certificate | None, certified_only: bool) -> Outcome:
    prediction, model = cell.prediction, cell.position(EFFECTIVE)
    if model is None:
        return _outcome(cell, _not_applicable(cell.reason(EFFECTIVE)))
    if not line_up.built:
        return _outcome(cell, _not_applicable(f"{NO_LINEUP} for {cell.relation}"))
    with_ = line_up.side(cell, prediction.with_controls)
    without = line_up.side(cell, prediction.without_controls)
    ruling = _lacking(model, with_, without)
    if ruling is None:
        reach = certificate.reach if certificate is not None else 0.0
        ruling = decide(model, with_.positions, without.positions, reach=reach)
        if certified_only and ruling.verdict != "not decisive":
            ruling = _uncertified(model, certificate) or ruling
        if left_out := (*with_.missing, *without.missing):
            ruling = replace(ruling, reason=f"{ruling.reason}; not used: {'; '.join(left_out)}")
    if hypothesis(prediction.hypothesis).dose:
        ruling = _dose(ruling, model, line_up.side(cell, [control.name for control in DOSES]))
    return _outcome(cell, ruling, with_, without)


def _not_applicable(reason: str) -> Ruling:
    return Ruling(verdict="not applicable", t=None, reason=reason)


def _lacking(model: Position, with_: Side, without: Side) -> Ruling | None:
    """Not decisive where a side has no reference left."""
    for side, words in ((with_, "with"), (without, "without")):
        if not side.positions:
            return Ruling(
                verdict="not decisive",
                t=None,
                reason=f"no control {words} the property can be used as a reference ({'; '.join(side.missing)}); "
                f"effective: {Numbers.of([model]).bare(model)}",
            )
    return None


def _uncertified(model: Position, certificate: Certificate | None) -> Ruling | None:
    """Not decisive where planted worlds do not vouch for the cell."""
    if certificate is not None and certificate.certified:
        return None
    if certificate is None:
        why = "this test has not been calibrated on planted worlds"
    elif not certificate.n:
        why = f"this test is not certified: {certificate.note}"
    else:
        why = f"this test is not certified: wrong in {certificate.wrong} of {certificate.n} decided planted cases"
        if certificate.low is not None and certificate.high is not None:
            why += f" [{certificate.low:.3f}, {certificate.high:.3f}]"
        if certificate.power is not None:
            why += f", right in {certificate.power:.2f} of full-strength plants"
        why += f"; {certificate.note}" if certificate.note else ""
    return Ruling(verdict="not decisive", t=None, reason=f"{why}; effective: {Numbers.of([model]).bare(model)}")


def _dose(ruling: Ruling, model: Position, doses: Side) -> Ruling:
    """A dose is read off as the nearest one and never as a share t of the way."""
    if not doses.positions:
        return Ruling(verdict=ruling.verdict, t=None, reason=ruling.reason)
    steps = {control.name: control.steps for control in DOSES}
    found = nearest(model, doses.positions)
    number = Numbers.of([model, *doses.positions]).number
    means = ", ".join(f"{steps[p.name]:,} steps {number(p.value)}" for p in doses.positions)
    text = f"nearest dose: {steps[found.name]:,} steps (means: {means})"
    return Ruling(verdict=ruling.verdict, t=None, reason=f"{ruling.reason}; {text}")


def _outcome(cell: Cell, ruling: Ruling, with_: Side | None = None, without: Side | None = None) -> Outcome:
    model, prediction = cell.position(EFFECTIVE), cell.prediction
    return Outcome(
        hypothesis=prediction.hypothesis,
        experiment=prediction.experiment,
        statistic=prediction.statistic,
        condition=prediction.select.condition,
        relation=cell.relation,
        verdict=ruling.verdict,
        value=model.value if model else None,
        value_low=model.low if model else None,
        value_high=model.high if model else None,
        with_controls=with_.positions if with_ else (),
        without_controls=without.positions if without else (),
        t=ruling.t,
        reason=ruling.reason,
    )


REHEARSAL = "this is a rehearsal, in which every fact counts as known: no verdict can be taken from it"


def outcome_frame(outcomes: Iterable[Outcome | Mapping[str, Any]]) -> pd.DataFrame:
    """Outcomes as a DataFrame, one row each, with the columns of the public format also when there is none."""
    rows = [outcome.as_dict if isinstance(outcome, Outcome) else dict(outcome) for outcome in outcomes]
    return pd.DataFrame(rows, columns=list(OUTCOME_FIELDS))


def judge_run(folder: str | Path | RunFolder) -> list[Outcome]:
    """Judge a finished run from its tables and write its outcomes.json; needs neither the model nor torch.

    Raises RunError where there is no run, or where it is not finished, StorageError where outcomes.json cannot be
    written.
    """
    run = folder if isinstance(folder, RunFolder) else RunFolder.read_only(folder)
    found = list(judge_tables(run))
    run.write_derived("outcomes.json", json_lines(outcome.as_dict for outcome in found).decode("utf-8"))
    return found


def judge_tables(run: RunFolder) -> tuple[Outcome, ...]:
    """The outcomes of a finished run, nothing written; RunError where it is not finished."""
    line_up = ("lineup", "controls") in run.tables()
    controls = run.table("lineup", "controls") if line_up else pd.DataFrame(columns=list(CONTROL_FIELDS))
    found = verdicts(run.summary, run.absent, controls)
    if run.study.get("rehearsal"):
        return tuple(replace(outcome, verdict="not applicable", t=None, reason=REHEARSAL) for outcome in found)
    return found

"""The whole line-up end to end on the bundled organism: every stack experiment on every control, and the verdicts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from circuit_world import SETTINGS, facts, model

import rote
from rote.catalog import PREDICTIONS, VERDICTS
from rote.experiments import EXPERIMENTS, KnownNorms, StackExperiment
from rote.experiments.known_facts.measure import KnownFactsExperiment
from rote.judge.outcomes import OUTCOME_FIELDS
from rote.lineup import CONTROLS
from rote.pipeline.run import Run

TINY = replace(
    SETTINGS, max_entities=24, n_top_heads=2, n_resamples_ablation=1,
    n_bootstrap=100, min_known=20, n_members=3, n_trained_members=2, n_member_bootstrap=50, n_refine_steps=40,
)  # fmt: skip
ON_STACKS = tuple(e for e in EXPERIMENTS if isinstance(e, StackExperiment))
LINEUP = tuple(c for c in CONTROLS if c.name != "partial_hash_1000")  # a dose less: the same code for ten times longer


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return rote.study(
        model(),
        facts(),
        folder=tmp_path_factory.mktemp("lineup"),
        settings=TINY,
        experiments=(KnownFactsExperiment(), *ON_STACKS),
        controls=LINEUP,
    )


def test_every_stack_experiment_has_a_value_or_a_reason_on_every_control(run: Run) -> None:
    told = pd.concat([run.summary, run.absent])
    found = set(zip(told["experiment"], told["stack"], strict=True))
    assert {(e.name, control.name) for e in ON_STACKS for control in LINEUP} <= found
    assert not run.absent.empty and (run.absent["reason"].str.len() > 10).all()


def test_every_value_of_the_studied_stack_is_there_on_every_control_or_absent_there(run: Run) -> None:
    """But for what only the studied stack is asked: the shuffled conditions and unknown pairs of linear_structure."""
    key = ["experiment", "statistic", "condition", "site", "layer", "cls", "source", "parameters"]
    effective = run.summary[(run.summary["stack"] == "effective") & run.summary["neuron"].isna()]
    asked = effective[~effective["condition"].isin(["shuffled", "shuffled_matched", "unknown_pairs"])]
    asked = asked[asked["experiment"].isin([e.name for e in ON_STACKS])]
    told = pd.concat([run.summary, run.absent]).astype(object).fillna("none")
    for control in LINEUP:
        mine = told[told["stack"] == control.name]
        whole = set(map(tuple, mine[key].to_numpy()))
        general = set(zip(mine["experiment"], mine["statistic"], strict=True))
        for row in asked.astype(object).fillna("none").to_dict("records"):
            given = tuple(row[name] for name in key)
            assert given in whole or (row["experiment"], row["statistic"]) in general, (control.name, given)


def test_members_and_controls_are_tabulated(run: Run) -> None:
    controls, members = run.table("lineup", "controls"), run.table("lineup", "members")
    assert list(controls["control"]) == [control.name for control in LINEUP]
    assert list(controls["n_members"]) == [control.n_members(TINY) for control in LINEUP]
    assert controls["matched"].all(), controls[~controls["matched"]]
    assert (controls["target_accuracy"] == controls["target_accuracy"].iloc[0]).all()
    for control in LINEUP:
        mine = members[members["stack"] == control.name]
        assert set(mine["member"]) == set(range(control.n_members(TINY)))
    assert members["value"].notna().all() and np.isfinite(members["value"]).all()


def test_a_controls_value_is_the_mean_over_its_members(run: Run) -> None:
    members = run.table("lineup", "members")
    for control in LINEUP:
        where = {"experiment": "layer_probes", "statistic": "layer_alone", "condition": "least", "stack": control.name}
        mine = members[np.all([members[k] == v for k, v in where.items()], axis=0)]
        (row,) = run.summary[np.all([run.summary[k] == v for k, v in where.items()], axis=0)].to_dict("records")
        assert len(mine) == row["n"] == control.n_members(TINY)
        assert row["value"] == pytest.approx(mine["value"].mean(), abs=1e-12)


def test_what_the_controls_are_can_be_read_off_the_rows(run: Run) -> None:
    """The positive control of the whole path: mechanisms that were planted come out of the summary."""
    rows = run.summary[(run.summary["statistic"] == "path_share") & (run.summary["condition"] == "additive")]
    share = rows[rows["layer"].isna()].set_index("stack")["value"]
    for blind in ("single_step", "parallel", "and_gates"):
        assert abs(share[blind]) < 1e-4, blind
    assert share["hash_lookup"] > 0.1
    assert "additive" not in share  # its outputs are their main effects, so replacing them removes nothing
    rows = run.summary[(run.summary["statistic"] == "interaction_share") & (run.summary["site"] == "mlp_out")]
    interaction = rows[rows["layer"].isna()].set_index("stack")["value"]
    assert interaction["additive"] < 1e-4 < 0.1 < interaction["shuffled_matched"]


def test_the_verdicts_are_in_the_public_format(run: Run) -> None:
    outcomes = json.loads((run.path / "outcomes.json").read_text(encoding="utf-8"))
    assert len(outcomes) == len(PREDICTIONS)
    for outcome in outcomes:
        assert tuple(outcome) == OUTCOME_FIELDS
        assert outcome["verdict"] in VERDICTS
        assert (outcome["value"] is None) <= (outcome["verdict"] == "not applicable")
        for position in (*outcome["with_controls"], *outcome["without_controls"]):
            assert set(position) == {"control", "value", "low", "high", "members"}
            assert position["control"] in {control.name for control in LINEUP}
    assert any(outcome["with_controls"] and outcome["without_controls"] for outcome in outcomes)


def test_the_report_is_written(run: Run) -> None:
    assert (run.path / "report.html").stat().st_size > 10_000


def test_without_a_line_up_nothing_is_judged(tmp_path: Path) -> None:
    chosen = (KnownFactsExperiment(), KnownNorms())
    found = rote.study(model(), facts(), folder=tmp_path / "run", settings=TINY, experiments=chosen, controls=())
    assert set(found.outcomes["verdict"]) == {"not applicable"}
    assert {"model", "effective"} == set(found.summary["stack"].dropna())

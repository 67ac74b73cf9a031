"""Outcomes of whole tables: which row decides, which controls may stand, and what is said where nothing can be."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from judge_tables import (
    HALF,
    WITH,
    WITHOUT,
    absent_of,
    cell_rows,
    controls_frame,
    gone,
    place,
    prediction,
    row,
    summary_of,
)

from rote.catalog import HYPOTHESES, PREDICTIONS, VERDICTS, Certificate, Prediction
from rote.errors import RunError
from rote.judge import NO_LINEUP, Outcome, outcome_frame, overall, verdicts
from rote.records import Row

PATHS = prediction("hash_and_lookup/path_ablation/path_share/additive")
RISE = prediction("partial_hash_and_lookup/layer_probes/early_rise")
BROKEN = prediction("additive_tokens/linear_structure/broken_fraction/real")
NORMS = prediction("hash_and_lookup/known_norms/norm_auc/adjusted")
NOTHING = absent_of()


def judged(p: Prediction, rows: list[Row], **options: Any) -> Outcome:
    """The outcome of one cell in the relation sport."""
    absent = options.pop("absent", NOTHING)
    controls = options.pop("controls", controls_frame())
    options = {"certified_only": False, **options}
    found = [
        o for o in verdicts(summary_of(rows), absent, controls, **options) if (o.cell, o.relation) == (p.cell, "sport")
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("p", PREDICTIONS, ids=lambda p: p.cell)
@pytest.mark.parametrize(
    ("where", "verdict"),
    [
        (place(WITH), "consistent"),
        (place(WITHOUT), "inconsistent"),
        (place(0.5), "in between"),
        (place(0.5, half=0.4), "in between"),
        (place(2.0), "unlike all controls"),
    ],
)
def test_every_cell_gives_every_decisive_verdict(
    p: Prediction, where: tuple[float, float, float], verdict: str
) -> None:
    found = judged(p, cell_rows(p, where))
    assert found.verdict == verdict
    assert (found.value, found.value_low, found.value_high) == where
    assert [c.name for c in found.with_controls] == list(p.with_controls)
    assert [c.name for c in found.without_controls] == list(p.without_controls)
    if p.hypothesis == "partial_hash_and_lookup":
        assert found.t is None
    else:
        assert found.t == pytest.approx((where[0] - WITHOUT) / (WITH - WITHOUT))


def test_every_relation_gets_every_prediction_and_relations_do_not_mix() -> None:
    rows = cell_rows(PATHS, place(WITH))
    rows += [row(PATHS, stack, place(WITHOUT), relation="team") for stack in ("effective", *PATHS.without_controls)]
    rows += [row(PATHS, "hash_lookup", place(WITH), relation="team")]
    found = verdicts(summary_of(rows), NOTHING, controls_frame(("sport", "team")), certified_only=False)
    assert len(found) == 2 * len(PREDICTIONS)
    mine = [(o.relation, o.verdict) for o in found if o.cell == PATHS.cell]
    assert mine == [("sport", "consistent"), ("team", "inconsistent")]


def test_an_overlap_is_not_decisive_and_names_the_controls() -> None:
    found = judged(PATHS, cell_rows(PATHS, place(WITH), single_step=place(WITH + 2 * HALF)))
    assert found.verdict == "not decisive" and found.t is None
    assert "hash_lookup 0.20 [0.15, 0.25] with the property meet single_step 0.30 [0.25, 0.35]" in found.reason
    assert "parallel" not in found.reason


def test_an_unmatched_control_is_no_reference() -> None:
    rows = cell_rows(PATHS, place(WITH), single_step=place(WITH))  # it would overlap
    unmatched = controls_frame(unmatched={"single_step": "accuracy 0.52, the target is 0.91"})
    found = judged(PATHS, rows, controls=unmatched)
    assert found.verdict == "consistent"
    assert [c.name for c in found.without_controls] == ["parallel"]
    assert "not used: single_step: unmatched (accuracy 0.52, the target is 0.91)" in found.reason


def test_a_side_of_unmatched_controls_decides_nothing() -> None:
    unmatched = controls_frame(unmatched={"hash_lookup": "accuracy 0.3"})
    found = judged(PATHS, cell_rows(PATHS, place(WITH)), controls=unmatched)
    assert found.verdict == "not decisive"
    assert found.reason.startswith("no control with the property can be used as a reference (hash_lookup: unmatched")
    assert "0.200 [0.150, 0.250]" in found.reason


def test_an_exempt_control_is_a_reference_whatever_its_accuracy() -> None:
    controls = controls_frame(unmatched={"additive": "accuracy 0.4"})
    assert judged(BROKEN, cell_rows(BROKEN, place(WITH)), controls=controls).verdict == "consistent"


def test_a_control_that_was_not_built_or_has_no_value_is_left_out_with_its_reason() -> None:
    controls = controls_frame(leave_out=("single_step",))
    assert "single_step: was not built" in judged(PATHS, cell_rows(PATHS, place(WITH)), controls=controls).reason
    rows = [r for r in cell_rows(PATHS, place(WITH)) if r.stack not in ("single_step", "parallel")]
    absent = absent_of(gone(PATHS, "parallel", "removing the MLPs changes nothing", condition="additive"))
    found = judged(PATHS, rows, absent=absent)
    assert found.verdict == "not decisive"
    assert "parallel: removing the MLPs changes nothing" in found.reason
    assert "single_step: the run has no path_share of it" in found.reason


def test_what_the_effective_model_does_not_have_is_not_applicable_with_its_reason() -> None:
    rows = cell_rows(PATHS, None)
    exact = gone(PATHS, "effective", "there is one MLP only", condition="additive")
    other = gone(PATHS, "effective", "another row", condition="mean")
    whole = gone(PATHS, "model", "the model knows none of the facts")
    for absent, reason in [
        (absent_of(other, exact, whole), "there is one MLP only"),
        (absent_of(whole), "the model knows none of the facts"),
        (NOTHING, "the run has no path_share of the effective model"),
    ]:
        found = judged(PATHS, rows, absent=absent)
        assert (found.verdict, found.value, found.t, found.reason) == ("not applicable", None, None, reason)


def test_first_and_last_layer_are_those_of_the_statistic_also_where_the_deciding_row_is_absent() -> None:
    def with_layers(p: Prediction, decides: int) -> list[Row]:
        rows = cell_rows(p, place(WITH))
        others = [row(p, r.stack, place(0.99), layer=n) for r in rows for n in (2, 3, 4) if n != decides]
        return [*others, *rows]

    assert judged(BROKEN, with_layers(BROKEN, 4)).value == WITH
    assert judged(NORMS, with_layers(NORMS, 2)).value == WITH
    rows = [r for r in with_layers(BROKEN, 4) if (r.stack, r.layer) != ("effective", 4)]
    assert judged(BROKEN, rows).verdict == "not applicable"
    key = {"condition": "real", "site": "resid_post", "layer": 4}
    stacks = ("effective", *BROKEN.with_controls, *BROKEN.without_controls)
    absent = absent_of(*(gone(BROKEN, stack, "constant output", **key) for stack in stacks))
    found = judged(BROKEN, [r for r in rows if r.layer != 4], absent=absent)
    assert (found.verdict, found.reason) == ("not applicable", "constant output")


def test_rows_of_one_layer_neuron_or_class_never_decide() -> None:
    rows = cell_rows(PATHS, place(WITH))
    rows += [row(PATHS, "effective", place(0.99), layer=3), row(PATHS, "effective", place(0.99), condition="mean")]
    rows += [row(PATHS, "effective", place(0.99), cls="golf"), row(PATHS, "effective", place(0.99), neuron=7)]
    rows += [row(PATHS, "effective", place(0.99), source="mlp.2"), row(PATHS, "model", place(0.99))]
    assert judged(PATHS, rows).value == WITH


def test_two_rows_for_one_cell_are_a_broken_run() -> None:
    rows = [*cell_rows(PATHS, place(WITH)), row(PATHS, "effective", place(0.9), seed=1)]
    with pytest.raises(RunError, match="2 values of path_share for effective"):
        judged(PATHS, rows)


@pytest.mark.parametrize("controls", [controls_frame(()), pd.DataFrame()], ids=["empty", "none"])
def test_without_a_line_up_nothing_is_applicable_and_the_values_stand(controls: pd.DataFrame) -> None:
    found = verdicts(summary_of([row(PATHS, "effective", place(WITH))]), NOTHING, controls)
    assert {(o.verdict, o.reason) for o in found} == {("not applicable", NO_LINEUP)}
    assert [o.value for o in found if o.cell == PATHS.cell] == [WITH]
    assert {s.word for s in overall(found)} == {"undecided"}


def test_a_relation_without_a_line_up_says_so() -> None:
    rows = [*cell_rows(PATHS, place(WITH)), row(PATHS, "effective", place(WITH), relation="team")]
    found = verdicts(summary_of(rows), NOTHING, controls_frame(), certified_only=False)
    (team,) = (o for o in found if o.relation == "team" and o.cell == PATHS.cell)
    assert (team.verdict, team.reason) == ("not applicable", "the run has no line-up for team")


def test_tables_without_rows_give_no_outcomes() -> None:
    assert verdicts(summary_of([]), NOTHING, controls_frame()) == ()
    assert overall(()) == ()
    assert list(outcome_frame(())) == list(Outcome.__dataclass_fields__)


def certificate(**changes: Any) -> Certificate:
    values = {
        "certified": True,
        "wrong": 0,
        "n": 80,
        "low": 0.0,
        "high": 0.045,
        "power": 0.95,
        "note": "",
        "reach": 0.0,
    }
    return Certificate.of({**values, **changes})


def test_only_certified_cells_decide_unless_asked_otherwise() -> None:
    rows = cell_rows(PATHS, place(WITH))
    bad = certificate(certified=False, wrong=9, high=0.2026, low=0.0528, power=0.5, note="fails on wide worlds")
    options = {"certified_only": True}
    assert judged(PATHS, rows, certified={PATHS.cell: certificate()}, **options).verdict == "consistent"
    refused = judged(PATHS, rows, certified={PATHS.cell: bad}, **options)
    assert (refused.verdict, refused.t, refused.value) == ("not decisive", None, WITH)
    assert "wrong in 9 of 80 decided planted cases [0.053, 0.203]" in refused.reason
    assert "fails on wide worlds" in refused.reason and "0.200 [0.150, 0.250]" in refused.reason
    unknown = judged(PATHS, rows, certified={}, **options)
    assert unknown.verdict == "not decisive" and "not been calibrated" in unknown.reason
    assert judged(PATHS, rows, certified={PATHS.cell: bad}).verdict == "consistent"


def test_a_cell_that_cannot_tell_its_controls_apart_says_that_first() -> None:
    rows = cell_rows(PATHS, place(WITH), single_step=place(WITH))
    assert "its own controls" in judged(PATHS, rows, certified={}, certified_only=True).reason


@pytest.mark.parametrize(("value", "steps"), [(0.02, "0"), (0.21, "10"), (0.52, "100"), (0.9, "1,000")])
def test_partial_hashing_is_read_off_as_the_nearest_dose(value: float, steps: str) -> None:
    doses = {"hash_lookup": 0.0, "partial_hash_10": 0.2, "partial_hash_100": 0.5, "partial_hash_1000": 0.95}
    places = {name: place(x, 0.02) for name, x in doses.items()}
    found = judged(RISE, cell_rows(RISE, place(value, 0.02), **places, parallel=place(1.5)))
    assert found.t is None
    assert f"nearest dose: {steps} steps (means: 0 steps 0.00, 10 steps 0.20, 100 steps 0.50" in found.reason
    unmatched = controls_frame(unmatched={"partial_hash_100": "accuracy"})
    assert "100 steps 0.50" not in judged(RISE, cell_rows(RISE, place(value), **places), controls=unmatched).reason


def made(hypothesis: str, *verdicts_: str) -> list[Outcome]:
    rows = cell_rows(PATHS, place(WITH))
    base = judged(PATHS, rows)
    fields = {name: getattr(base, name) for name in Outcome.__dataclass_fields__}
    return [Outcome(**{**fields, "hypothesis": hypothesis, "verdict": verdict}) for verdict in verdicts_]


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (("consistent", "not decisive", "in between"), "survives"),
        (("inconsistent", "unlike all controls"), "contradicted"),
        (("consistent", "consistent", "inconsistent"), "disputed"),
        (("in between", "unlike all controls", "not decisive", "not applicable"), "undecided"),
        (("not decisive",), "undecided"),
    ],
)
def test_a_hypothesis_gets_one_word_from_its_counts(given: tuple[str, ...], word: str) -> None:
    (found,) = overall(made("hash_and_lookup", *given))
    assert found.word == word and word in found.sentence
    assert dict(found.counts) == {verdict: given.count(verdict) for verdict in VERDICTS}


def test_standings_are_one_for_each_relation_and_hypothesis_in_order() -> None:
    found = verdicts(summary_of(cell_rows(PATHS, place(WITH))), NOTHING, controls_frame())
    assert [(s.relation, s.hypothesis) for s in overall(found)] == [("sport", h.name) for h in HYPOTHESES]


def test_an_outcome_is_the_public_format() -> None:
    found = judged(PATHS, cell_rows(PATHS, place(WITH), parallel=0.9)).as_dict
    assert ", ".join(found) == (
        "hypothesis, experiment, statistic, condition, relation, verdict, value, value_low, value_high, "
        "with_controls, without_controls, t, reason"
    )
    again = json.loads(json.dumps(found, allow_nan=False))
    assert again["with_controls"] == [
        {"control": "hash_lookup", "value": WITH, "low": WITH - HALF, "high": WITH + HALF, "members": 20}
    ]
    assert again["without_controls"][1] == {
        "control": "parallel", "value": 0.9, "low": None, "high": None, "members": 20,
    }  # fmt: skip

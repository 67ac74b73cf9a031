"""The predictions are data of one shape: known controls on two disjoint sides, and rows that experiments have."""

from __future__ import annotations

import importlib.resources
import json
import re

import pytest

from rote.catalog import (
    CONTROLS,
    DOSES,
    HYPOTHESES,
    PREDICTIONS,
    STANDINGS,
    VERDICTS,
    Hypothesis,
    Prediction,
    certificates,
    control,
    hypothesis,
    predictions,
    standing,
)
from rote.catalog.hypotheses import LAYERS
from rote.experiments import ENTRIES
from rote.report.reference import render_markdown

CARDS = tuple(entry.card for entry in ENTRIES)

LINE_UP = (
    "additive, single_step, and_gates, parallel, hash_lookup, partial_hash_10, partial_hash_100, partial_hash_1000, "
    "class_booster, shuffled, shuffled_matched, trained"
)
each_cell = pytest.mark.parametrize("p", PREDICTIONS, ids=lambda p: p.cell)


def test_the_line_up_is_the_contracts() -> None:
    assert ", ".join(c.name for c in CONTROLS) == LINE_UP
    assert {c.name for c in CONTROLS if c.exempt} == {"additive", "class_booster", "shuffled", "shuffled_matched"}
    assert [(c.name, c.steps) for c in DOSES] == [
        ("hash_lookup", 0),
        ("partial_hash_10", 10),
        ("partial_hash_100", 100),
        ("partial_hash_1000", 1000),
    ]
    for card in CONTROLS:
        assert card.title and card.built and card.true_of_it and "|" not in card.built + card.true_of_it


@each_cell
def test_both_sides_name_controls_that_may_be_references(p: Prediction) -> None:
    assert p.with_controls and p.without_controls
    assert not set(p.with_controls) & set(p.without_controls)
    assert len({*p.with_controls, *p.without_controls}) == len(p.with_controls) + len(p.without_controls)
    assert all(control(name).reference for name in (*p.with_controls, *p.without_controls))
    assert p.select.layer in LAYERS
    assert re.fullmatch(r"[A-Z].*\.", p.why) and "|" not in p.why


def test_what_training_finds_is_no_reference_anywhere() -> None:
    assert not control("trained").reference
    assert all("trained" not in p.with_controls + p.without_controls for p in PREDICTIONS)


@each_cell
def test_every_prediction_is_of_a_statistic_in_the_catalog(p: Prediction) -> None:
    (card,) = (c for c in CARDS if c.name == p.experiment)
    assert "effective" in card.applies_to
    card.statistic(p.statistic)


def test_cells_are_named_once_and_belong_to_a_hypothesis() -> None:
    assert len({p.cell for p in PREDICTIONS}) == len(PREDICTIONS)
    assert {p.hypothesis for p in PREDICTIONS} == {h.name for h in HYPOTHESES}
    assert [p for h in HYPOTHESES for p in predictions(h.name)] == list(PREDICTIONS)


def test_partial_hashing_is_judged_by_the_cells_of_hashing() -> None:
    mine, hash_ = predictions("partial_hash_and_lookup"), predictions("hash_and_lookup")
    assert [(p.experiment, p.statistic, p.select) for p in mine] == [
        (p.experiment, p.statistic, p.select) for p in hash_
    ]
    assert all(set(p.with_controls) == {d.name for d in DOSES if d.steps} for p in mine)
    assert [h.name for h in HYPOTHESES if h.dose] == ["partial_hash_and_lookup"]


@pytest.mark.parametrize("h", HYPOTHESES, ids=lambda h: h.name)
def test_a_hypothesis_is_one_sentence_with_its_source(h: Hypothesis) -> None:
    assert len(re.findall(r"\.(?:\s|$)", h.statement)) == 1 and h.statement.endswith(".")
    assert 1 <= h.source.post <= 5 and h.title


def test_what_is_asked_for_by_another_name_is_answered_with_the_list() -> None:
    with pytest.raises(KeyError, match="hash_lookup"):
        control("nonsense")
    with pytest.raises(KeyError, match="hash_and_lookup"):
        hypothesis("nonsense")


@pytest.mark.parametrize(
    ("consistent", "inconsistent", "word"),
    [(1, 0, "survives"), (0, 2, "contradicted"), (3, 1, "disputed"), (0, 0, "undecided")],
)
def test_a_standing_is_one_word_from_two_counts(consistent: int, inconsistent: int, word: str) -> None:
    assert standing(consistent=consistent, inconsistent=inconsistent) == word
    assert word in STANDINGS


def test_the_certification_is_about_cells_there_are() -> None:
    raw = json.loads(importlib.resources.files("rote.catalog").joinpath("certification.json").read_text("utf-8"))
    found = certificates()
    assert set(raw["cells"]) == set(found) <= {p.cell for p in PREDICTIONS}
    for entry in found.values():
        assert 0 <= entry.wrong <= entry.n and isinstance(entry.certified, bool)


def test_the_document_tells_every_control_prediction_and_verdict() -> None:
    text = render_markdown()
    for name in (*(c.name for c in CONTROLS), *(h.statement for h in HYPOTHESES), *(p.why for p in PREDICTIONS)):
        assert name in text
    assert all(f"| {verdict} |" in text for verdict in VERDICTS)

"""The catalog is complete, consistent with itself, and the document in docs/ is its rendering."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rote.catalog import POSTS, ExperimentCard
from rote.catalog.types import STACKS, TAKES, UNITS
from rote.experiments import ENTRIES, card
from rote.report.reference import render_markdown

CARDS = tuple(entry.card for entry in ENTRIES)

DOCUMENT = Path(__file__).parents[2] / "docs" / "experiments.md"
STUDY_ORDER = [
    "known_facts",
    "direct_effects",
    "head_attention",
    "value_inputs",
    "key_or_value",
    "readout",
    "concatenation",
    "lookup_window",
    "effective_model",
    "layer_probes",
    "path_ablation",
    "linear_structure",
    "known_norms",
    "shared_neurons",
    "class_neurons",
    "nonlinear_excess",
    "orthogonal_remainder",
    "logit_lens",
    "local_processing",
]
each_card = pytest.mark.parametrize("a_card", CARDS, ids=lambda c: c.name)


def test_the_experiments_stand_in_study_order() -> None:
    assert [c.name for c in CARDS] == STUDY_ORDER


@each_card
def test_a_card_is_complete(a_card: ExperimentCard) -> None:
    assert a_card.title.endswith("?") and a_card.question.endswith("?")
    assert len(re.findall(r"\.(?:\s|$)", a_card.method)) == 2, "the method is two sentences"
    assert a_card.applies_to and set(a_card.applies_to) <= set(STACKS)
    assert a_card.takes and set(a_card.takes) <= set(TAKES)
    assert set(a_card.needs) <= {"known_facts", "two_part_names", "lookup_window", "several_relations"}
    assert a_card.statistics
    assert len({s.name for s in a_card.statistics}) == len(a_card.statistics)
    for statistic in a_card.statistics:
        assert statistic.unit in UNITS
        assert statistic.meaning and statistic.formula and "|" not in statistic.meaning + statistic.formula


@each_card
def test_published_values_name_a_statistic_of_the_card_and_a_post(a_card: ExperimentCard) -> None:
    for published in a_card.published:
        a_card.statistic(published.statistic)
        assert published.text
        assert 1 <= published.source.post <= len(POSTS)
        assert published.value is None or (published.low is None and published.high is None)
        assert (published.low is None) == (published.high is None)


def test_cards_are_found_by_name_and_unknown_names_are_answered_with_the_list() -> None:
    assert card("readout").name == "readout"
    with pytest.raises(KeyError, match="known_facts"):
        card("nonsense")
    with pytest.raises(KeyError, match="broken_fraction"):
        card("linear_structure").statistic("nonsense")


def test_posts_carry_their_titles() -> None:
    assert [p.number for p in POSTS] == [1, 2, 3, 4, 5]
    assert all(p.title.startswith("Fact Finding: ") and p.title.endswith(f"(Post {p.number})") for p in POSTS)


def test_the_document_in_docs_is_up_to_date() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == render_markdown(), "run: make docs"


def test_importing_the_catalog_imports_no_torch() -> None:
    probe = "import rote.catalog, sys; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", probe], check=True)

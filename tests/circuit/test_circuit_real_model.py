"""On a real model, SmolLM2-135M-Instruct: capitals, one fact a class; the folder is given by ROTE_REAL_MODEL."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

import rote
from rote.asking import Recall, ask
from rote.circuit.direct_effects import direct_effects
from rote.circuit.extraction import answer_ranks, head_readouts
from rote.circuit.readout_heads import ReadoutHeads, choose_readout_heads
from rote.circuit.source_effects import source_effects
from rote.circuit.top_heads import Head, head_attention
from rote.experiments.readout.measure import swapped_answers
from rote.facts import build_prompts, read_facts
from rote.settings import Settings

FOLDER = os.environ.get("ROTE_REAL_MODEL", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="ROTE_REAL_MODEL names no folder with a real model")

# 60 capitals, no two of which begin with the same token
CAPITALS = """
France Paris, Germany Berlin, Italy Rome, Spain Madrid, Portugal Lisbon, Greece Athens, Hungary Budapest, Poland Warsaw,
Norway Oslo, Sweden Stockholm, Finland Helsinki, Denmark Copenhagen, Ireland Dublin, Belgium Brussels, Serbia Belgrade,
Netherlands Amsterdam, Switzerland Bern, Romania Bucharest, Bulgaria Sofia, Croatia Zagreb, Ukraine Kyiv, Russia Moscow,
Turkey Ankara, Egypt Cairo, Morocco Rabat, Tunisia Tunis, Libya Tripoli, Kenya Nairobi, Nigeria Abuja, Ghana Accra,
Senegal Dakar, Uganda Kampala, Zimbabwe Harare, Zambia Lusaka, Angola Luanda, Sudan Khartoum, China Beijing,
Japan Tokyo,
Pakistan Islamabad, Bangladesh Dhaka, Nepal Kathmandu, Thailand Bangkok, Vietnam Hanoi, Indonesia Jakarta, Iran Tehran,
Philippines Manila, Iraq Baghdad, Syria Damascus, Lebanon Beirut, Jordan Amman, Israel Jerusalem, Canada Ottawa,
Cuba Havana, Jamaica Kingston, Peru Lima, Chile Santiago, Venezuela Caracas, Ecuador Quito, Australia Canberra,
Uruguay Montevideo
"""
TEMPLATE, PREFIX = "The capital of {} is", "The capital of Austria is Vienna.\n"
LATE = (29, 1)  # leads by whole effect in some wordings, and gives the entity 2 % of its attention


@dataclass(frozen=True, kw_only=True, eq=False)
class Capitals:
    recall: Recall
    found: ReadoutHeads
    top_heads: tuple[Head, ...]


@pytest.fixture(scope="module")
def capitals() -> Capitals:
    pairs = [pair.split() for pair in CAPITALS.replace("\n", " ").split(",")]
    table = pd.DataFrame(pairs, columns=["entity", "capital"])
    assert len(table) == 60
    model, settings = rote.load_model(FOLDER, check=False), Settings()
    facts = read_facts(table, relation="capital", template=TEMPLATE, prefix=PREFIX)
    prompts = build_prompts(facts, "capital", model.tokenizer)
    recall = Recall.of(model, prompts, ask(model, prompts, settings).correct, settings)
    assert len(recall) >= 40 and len(np.unique(recall.cls)) == len(recall)  # one entity per answer
    top = direct_effects(recall).top_heads(recall.selection, settings.n_top_heads)
    return Capitals(recall=recall, found=choose_readout_heads(recall), top_heads=top)


def test_a_head_of_layer_23_is_read_through_and_the_late_one_is_not(capitals: Capitals) -> None:
    assert capitals.found.reason is None
    assert {layer for layer, _ in capitals.found.heads} == {23}
    assert LATE in capitals.top_heads[:2]  # by whole effect it is among the first
    assert LATE not in capitals.found.candidates


def test_what_is_read_looks_at_the_name_and_the_late_head_does_not(capitals: Capitals) -> None:
    recall, (head, *_) = capitals.recall, capitals.found.heads
    looks = head_attention(recall.full, recall.prompts, [head, LATE])
    assert looks[head]["subject_last"].mean() > 0.7
    assert looks[LATE]["subject_last"].mean() < 0.05
    parts = source_effects(recall).parts.mean(0)
    assert parts[head][3] > 0.95 * parts[head].sum()
    assert parts[LATE][3] < 0.05 * parts[LATE].sum()


def test_its_subspace_turns_answers_and_random_ones_do_not(capitals: Capitals) -> None:
    recall, report = capitals.recall, ~capitals.recall.selection
    share = {
        name: flips[:, report].mean()
        for name, flips in swapped_answers(recall, capitals.found.heads, capitals.found.candidates).items()
    }
    assert share["readout_subspace"] >= 0.6
    for control in ("random_subspace", "random_in_value_span"):
        assert share["readout_subspace"] >= 10 * share[control], control
    late = swapped_answers(recall, (LATE,), capitals.found.candidates)
    assert late["readout_subspace"][:, report].mean() < 0.1


def test_the_right_one_of_all_answers_can_be_read(capitals: Capitals) -> None:
    recall, heads = capitals.recall, capitals.found.heads
    report, n = ~recall.selection, len(recall.prompts.classes)
    readout = head_readouts(recall, heads)[-1]
    ranks = answer_ranks(readout, recall.at_subject("resid_pre", (heads[0][0],))[heads[0][0]], recall.cls)[report]
    assert (ranks == 1).mean() > 0.3 > 10 / n
    assert ranks.mean() < 0.15 * n

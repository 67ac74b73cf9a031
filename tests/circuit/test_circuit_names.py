"""Names of one and three tokens among others: what needs two parts takes those that have them, the rest takes all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from circuit_world import CLASSES, SETTINGS, World, measured, model, value

from rote.asking import Recall, ask
from rote.circuit import search
from rote.circuit.product import Product
from rote.errors import NotApplicable
from rote.experiments import EXPERIMENTS, Study
from rote.facts import Fact, FactTable, build_prompts
from rote.records import Record

TOLD = replace(SETTINGS, known_probability=1e-30, min_known=12, n_top_heads=2)


def study_of(world: World, two: int, other: int) -> Study:
    """`two` known names, and `other` ones made of one or three name words, all told to be known."""
    known = [world.recall.prompts.facts[i] for i in range(two)]
    words = [fact.entity.split() for fact in world.recall.prompts.facts]
    made = []
    for i in range(other):
        name = words[i][1] if i % 2 else f"{words[i][0]} {words[i + 1][1]} {words[i + 2][1]}"
        made.append(Fact(entity=name, relation="sport", attribute=CLASSES[i % 3]))
    mixed = [fact for pair in zip(known, made, strict=False) for fact in pair] + known[other:]
    table = FactTable(name="mixed", relations=(world.prompts.relation,), facts=tuple(dict.fromkeys(mixed)))
    prompts = build_prompts(table, "sport", model().tokenizer)
    told = ask(model(), prompts, TOLD)
    assert told.known.all()
    recall = Recall.of(model(), prompts, told.known, TOLD)
    return Study(prompts=prompts, known=told, recall=recall, circuit=search(recall))


@pytest.fixture(scope="module")
def mixed(world: World) -> Study:
    return study_of(world, 48, 14)


def measure(name: str, study: Study) -> Record:
    (experiment,) = (e for e in EXPERIMENTS if e.name == name)
    return measured(experiment, study)


def lengths(recall: Recall) -> Sequence[int]:
    return [len(entity.split()) for entity in recall.names]


def test_lengths_positions_and_names_are_those_of_the_text(mixed: Study) -> None:
    recall = mixed.recall
    assert set(lengths(recall)) == {1, 2, 3}
    assert recall.prompts.n_name_tokens.tolist() == lengths(recall)
    assert recall.two_part.tolist() == [i for i, n in enumerate(lengths(recall)) if n == 2]
    for i, n in enumerate(lengths(recall)):
        s = int(recall.full.subject_last[i])
        ids = recall.full.tokens[i, s - n + 1 : s + 1].tolist()
        name_ids = recall.name_only.tokens[i, 1 : 1 + n].tolist()
        assert ids == name_ids == model().tokenizer.encode(f" {recall.names[i]}", add_special_tokens=False)
        assert int(recall.name_only.subject_last[i]) == n == int(recall.name_only.end[i])


def test_the_product_and_the_stack_hold_two_part_names_only(mixed: Study) -> None:
    recall, two = mixed.recall, mixed.recall.two_part
    (product,) = Product.all(recall)
    words = [recall.names[i].split() for i in two]
    encode = model().tokenizer.encode
    assert set(product.firsts) == {encode(f" {a}", add_special_tokens=False)[0] for a, _ in words}
    assert set(product.lasts) == {encode(f" {b}", add_special_tokens=False)[0] for _, b in words}
    stack = replace(mixed.circuit, lookup_start=1, lookup_stop=3, no_window=None).effective_model(recall)
    assert stack.entities.names == tuple(recall.names[i] for i in two)


def test_experiments_on_prompts_take_all_names(mixed: Study) -> None:
    half = int((~mixed.recall.selection).sum())
    rows = [r for r in measure("direct_effects", mixed).rows if r.condition == "report"]
    assert {r.n for r in rows} == {half}
    assert {r.n for r in measure("readout", mixed).rows if r.condition == "full"} == {half}
    known = measure("known_facts", mixed)
    assert value(known, "n_facts", condition="all") == len(mixed.prompts)
    assert value(known, "n_facts", condition="two_token") == lengths(mixed.recall).count(2)


def test_experiments_on_the_stack_take_two_part_names_only(mixed: Study) -> None:
    study = replace(mixed, circuit=replace(mixed.circuit, lookup_start=1, lookup_stop=3, no_window=None))
    two = mixed.recall.two_part
    half = int((~mixed.recall.selection[two]).sum())
    rows = measure("effective_model", study).rows
    assert {r.n for r in rows if r.condition == "report" and r.n is not None} == {half}
    exact = {r.condition: r.n for r in rows if r.statistic == "effective_accuracy"}
    one = [i for i, n in enumerate(lengths(mixed.recall)) if n == 1 and not mixed.recall.selection[i]]
    assert exact["exact"] == half and exact["exact_one_token"] == len(one)
    assert exact["exact_all_names"] == int((~mixed.recall.selection).sum())
    rows = [r for r in measure("concatenation", study).rows if r.statistic == "patterns_frozen_accuracy"]
    assert [(r.condition, r.n) for r in rows] == [(None, half), ("between_parts", half)]
    norms = measure("known_norms", study).rows
    assert norms
    assert {r.stack for r in norms} == {"model", "effective"}


def test_too_few_two_part_names_are_a_reason_with_counts(world: World) -> None:
    study = study_of(world, 11, 60)
    assert study.circuit.no_readout  # of names that are made up
    heads = world.circuit.readout_heads
    read = replace(study.circuit, readout_heads=heads, no_readout=None)
    study = replace(study, circuit=replace(read, lookup_start=1, lookup_stop=3, no_window=None))
    n, n_two = len(study.recall), int(study.recall.prompts.has_first.sum())
    assert n_two == lengths(study.recall).count(2) + lengths(study.recall).count(3)
    with pytest.raises(NotApplicable, match=f"of {n} known entities have names of two parts.* at least 12"):
        study.recall.require_two_part()
    for name in ("concatenation", "effective_model", "layer_probes", "path_ablation", "known_norms"):
        record = measure(name, study)
        reasons = [a.reason for a in record.absent]
        assert any(f"{n_two} of {n} known entities" in reason for reason in reasons), name
    assert not [r for r in measure("concatenation", study).rows if r.statistic == "concatenation_r2"]
    # what needs no two parts is there: the effective model on exact input, and the evidence for its window
    exact = {r.condition for r in measure("effective_model", study).rows}
    assert "exact_all_names" in exact and "report" not in exact
    assert [r.n for r in measure("lookup_window", study).rows if r.statistic == "found_share"]
    assert {r.n for r in measure("direct_effects", study).rows if r.condition == "report"} == {
        int(np.sum(~study.recall.selection))
    }

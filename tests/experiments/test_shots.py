"""Examples before the question, in whole studies: which they are, that they are not studied, what is refused."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from circuit_world import SETTINGS, facts, model

import rote
from rote.asking import ask
from rote.asking.examples import AMONG, different, examples_of, in_seeded_order
from rote.errors import FactsError
from rote.experiments.known_facts.measure import KnownFactsExperiment
from rote.facts import Fact, build_prompts
from rote.facts.wording import AN_EXAMPLE, Wording
from rote.pipeline.questions import Questions

FOUR = replace(SETTINGS, shots=4, n_bootstrap=50)


def chosen(**changes: object) -> tuple[Fact, ...]:
    settings = replace(FOUR, **changes)  # type: ignore[arg-type]
    return examples_of(model(), facts(), "sport", settings, Wording(tokenizer=model().tokenizer))


def by_hand(n: int) -> list[str]:
    """The sentences of the definition, one by one: fewest uses of the answer, then unknown, then the seeded order."""
    first = in_seeded_order(facts(), "sport", FOUR.seed)[:AMONG]
    prompts = build_prompts(facts(), "sport", model().tokenizer)
    knows = dict(zip(prompts.entities, ask(model(), prompts, FOUR).known, strict=True))
    taken: list[Fact] = []
    while len(taken) < n:
        uses = Counter(fact.attribute for fact in taken)
        least = min(uses[fact.attribute] for fact in first if fact not in taken)
        able = [fact for fact in first if fact not in taken and uses[fact.attribute] == least]
        unknown = [fact for fact in able if not knows[fact.entity]]
        taken.append((unknown or able)[0])
    return [fact.entity for fact in taken]


def test_examples_are_chosen_as_defined() -> None:
    assert [fact.entity for fact in chosen(shots=7)] == by_hand(7)
    assert len({fact.attribute for fact in chosen(shots=3)}) == 3
    assert chosen(shots=2) == chosen(shots=7)[:2], "fewer shots are the first of more"
    assert chosen() == chosen() != chosen(seed=1)


def test_an_unknown_fact_comes_before_a_known_one_of_the_same_use() -> None:
    a, b, c = (
        Fact(entity=name, relation="r", attribute=answer) for name, answer in (("a", "x"), ("b", "x"), ("c", "y"))
    )
    assert different([a, b, c], {"a"}, 3) == (b, c, a)
    assert different([a, b, c], set(), 3) == (a, c, b)


def test_examples_are_not_studied_and_stand_in_the_study(tmp_path: Path) -> None:
    run = rote.study(
        model(), facts(), folder=tmp_path, settings=FOUR, experiments=[KnownFactsExperiment()], controls=()
    )
    shown = [fact.entity for fact in chosen()]
    asked, left_out = run.table("known_facts"), run.table("known_facts", "left_out")
    assert not set(shown) & set(asked["entity"]) and len(asked) == len(facts().facts) - 4
    assert list(left_out[left_out["reason"] == AN_EXAMPLE]["entity"]) == shown
    told = json.loads((tmp_path / "study.json").read_text())
    assert told["settings"]["shots"] == 4
    prefix = "".join(f"Fact: {f.entity} plays the sport of {f.attribute}\n" for f in chosen())
    assert told["relations"]["sport"]["prefix"] == prefix
    page = (tmp_path / "report.html").read_text()
    assert "settings.shots" in page and f"{chosen()[0].entity} plays the sport of" in page
    with pytest.raises(rote.errors.RunError, match="shots"):
        rote.study(
            model(), facts(), folder=tmp_path, settings=replace(FOUR, shots=3), experiments=[KnownFactsExperiment()],
            controls=(),
        )  # fmt: skip


def test_another_relation_has_examples_of_its_own_which_are_not_asked_about() -> None:
    table = facts()
    others = tuple(Fact(entity=f.entity, relation="other", attribute=f.attribute) for f in table.facts)
    relation = rote.facts.Relation(name="other", template="Fact: {} plays in the league")
    both = replace(table, relations=(*table.relations, relation), facts=table.facts + others)
    questions = Questions(model=model(), table=both, settings=FOUR)
    asked = questions.otherwise("sport", "other")
    shown = {f.entity for f in (*questions.examples("sport"), *questions.examples("other"))}
    assert asked.asked.prefix == questions.worded("other").prefix and len(shown) > 4
    assert set(asked.entities) == set(table.entities) - shown


def test_shots_that_leave_too_few_facts_are_refused() -> None:
    few = replace(facts(), facts=facts().facts[:6])
    with pytest.raises(
        FactsError, match=r"has 6 facts that can be asked, and 5 of them .* leave 1; expected at least 2"
    ):
        Questions(model=model(), table=few, settings=replace(FOUR, shots=5)).all(["sport"])

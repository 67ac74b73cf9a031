"""The table itself: its hash, its choices, what it refuses."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from rote.errors import FactsError
from rote.facts import Fact, FactTable, LeftOut, Relation

SPORT = Relation(name="sport", template="{} plays", prefix="one\n")
LEAGUE = Relation(name="league", template="{} plays in")
TABLE = FactTable(
    name="t",
    relations=(SPORT, LEAGUE),
    facts=(
        Fact(entity="A B", relation="sport", attribute="golf"),
        Fact(entity="C D", relation="sport", attribute="chess"),
        Fact(entity="A B", relation="league", attribute="PGA"),
    ),
    left_out=(LeftOut(entity="E", relation="league", reason="row 4: the attribute is empty"),),
    fiction=("C D",),
)


def test_hash_is_of_content_alone_and_sees_every_part_of_it() -> None:
    assert TABLE.hash == replace(TABLE, name="other", left_out=(), fiction=()).hash
    others = [
        replace(TABLE, facts=TABLE.facts[::-1]),
        replace(TABLE, facts=TABLE.facts[:2]),
        TABLE.with_prompts(prefix=""),
        replace(TABLE, relations=(SPORT, replace(LEAGUE, template="{} is in"))),
    ]
    assert len({TABLE.hash, *(other.hash for other in others)}) == 5
    assert len(TABLE.hash) == 64


def test_hash_is_the_same_in_another_process() -> None:
    code = (
        "from rote.facts import *;"
        "print(FactTable(name='x', relations=(Relation(name='r', template='{}'),),"
        "facts=(Fact(entity='Zoë', relation='r', attribute='a'),)).hash)"
    )
    here = FactTable(
        name="y",
        relations=(Relation(name="r", template="{}"),),
        facts=(Fact(entity="Zoë", relation="r", attribute="a"),),
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == here.hash


def test_importing_facts_imports_neither_torch_nor_transformers() -> None:
    code = "import sys, rote.facts; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_entities_and_relations_keep_their_order() -> None:
    assert TABLE.entities == ("A B", "C D")
    assert [fact.entity for fact in TABLE.of("sport")] == ["A B", "C D"]
    assert TABLE.select(["league", "sport"]) == TABLE


def test_select_takes_facts_reasons_and_fiction_along() -> None:
    sport = TABLE.select(["sport"])
    assert sport.relations == (SPORT,)
    assert sport.left_out == ()
    assert sport.fiction == ("C D",)
    assert TABLE.select("league").fiction == ()
    assert TABLE.select("league").left_out == TABLE.left_out


def test_with_prompts_changes_only_what_is_given() -> None:
    assert TABLE.with_prompts() == TABLE
    assert [r.prefix for r in TABLE.with_prompts(prefix="").relations] == ["", ""]
    asked = TABLE.select("sport").with_prompts(template="What does {} play?")
    assert asked.relation("sport") == replace(SPORT, template="What does {} play?")


def test_a_prefix_is_never_formatted_and_braces_in_names_stay() -> None:
    relation = Relation(name="r", template="{} {is}", prefix="{} and {0}: ")
    assert relation.prompt("A {} B") == "{} and {0}: A {} B {is}"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Relation(name="r", template="no slot"), "has no {}; expected exactly one"),
        (lambda: Relation(name="r", template="{} and {}"), "has 2 times {}; expected exactly one"),
        (lambda: Relation(name=" ", template="{}"), "has no name"),
        (
            lambda: replace(TABLE, relations=(SPORT,)),
            "1 facts have the relation 'league', which is not described",
        ),
        (lambda: replace(TABLE, relations=(SPORT, LEAGUE, SPORT)), "relation 'sport' is described 2 times"),
        (lambda: replace(TABLE, facts=TABLE.facts * 2), "entity 'A B' stands 2 times in relation 'sport'"),
        (lambda: TABLE.of("team"), "t has no relation 'team'; its relations are 'sport', 'league'"),
        (lambda: TABLE.select(["team", "club"]), "'club'"),
        (lambda: TABLE.select([]), "no relation was selected"),
        (lambda: TABLE.with_prompts(template="{}"), "one template asks one question"),
    ],
)
def test_refusals(make: object, says: str) -> None:
    with pytest.raises(FactsError) as caught:
        make()  # type: ignore[operator]
    assert says in str(caught.value)


def test_both_faults_of_a_relation_are_told_at_once() -> None:
    with pytest.raises(FactsError) as caught:
        Relation(name="", template="")
    assert len(caught.value.problems) == 2

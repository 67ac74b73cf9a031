"""The demo's facts: every real athlete, and the invented people with all that is known of them."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from rote.facts import read_facts
from rote.organisms import BUNDLED
from rote.organisms.demo import INVENTED, demo_facts


def test_every_athlete_and_some_invented_people_are_in_it() -> None:
    every, demo = read_facts(BUNDLED / "facts.json"), demo_facts()
    invented = set(demo.fiction)
    athletes = set(every.entities) - set(every.fiction)
    assert set(demo.entities) == athletes | invented
    assert len(invented) == INVENTED and invented < set(every.fiction)
    assert len(athletes) >= 1400
    assert [r.name for r in demo.relations] == [r.name for r in every.relations]


def test_whoever_is_in_it_is_there_with_every_fact() -> None:
    every, demo = read_facts(BUNDLED / "facts.json"), demo_facts()
    kept = set(demo.entities)
    assert list(demo.facts) == [fact for fact in every.facts if fact.entity in kept]
    counts = Counter(fact.entity for fact in demo.facts)
    assert {counts[name] for name in demo.fiction} == {7}
    assert (
        max(counts[name] for name in kept - set(demo.fiction)) < 4
    )  # too few for shared_neurons, so it needs the others


def test_the_invented_people_are_spread_over_the_file() -> None:
    fiction = read_facts(BUNDLED / "facts.json").fiction
    places = [fiction.index(name) for name in demo_facts().fiction]
    gaps = {b - a for a, b in pairwise(places)}
    assert gaps == {len(fiction) // INVENTED}
    assert demo_facts() == demo_facts()

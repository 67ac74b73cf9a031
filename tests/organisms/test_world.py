"""The world's balance: no single name word, and no additive model of both, gives anyone's sport away."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rote.errors import FactsError, SettingsError
from rote.organisms import build_world
from rote.organisms.balance import complete_to_balance, equitable_colouring
from rote.organisms.world import GOLFER, LEAGUES, LIFE, RELATIONS, SPORT, World, read_athletes


@pytest.fixture(scope="module")
def world() -> World:
    return build_world()


def sporting(world: World):
    return [p for p in world.people if p.name != GOLFER]


def counts(people, side, relation):
    table: dict[str, Counter] = {}
    for person in people:
        table.setdefault(getattr(person, side), Counter())[person.attributes[relation.name]] += 1
    return table


@pytest.mark.parametrize("side", ["first", "last"])
def test_every_name_word_sees_every_sport_equally_often(world, side):
    for word, count in counts(sporting(world), side, SPORT).items():
        assert len({count[c] for c in SPORT.classes}) == 1, word


@pytest.mark.parametrize("side", ["first", "last"])
@pytest.mark.parametrize("relation", LIFE, ids=lambda r: r.name)
def test_other_relations_are_dealt_within_one(world, side, relation):
    for word, count in counts(world.fiction, side, relation).items():
        dealt = [count[c] for c in relation.classes]
        assert max(dealt) - min(dealt) <= 1, word


def test_uniform_is_the_best_additive_model(world):
    """The gradient of the logistic loss over first + last words vanishes at the uniform prediction; the loss is
    convex, so no additive model has a smaller one, not even on the people it was fitted to. An interaction does."""
    people = sporting(world)
    words = {w: i for i, w in enumerate(sorted({(s, getattr(p, s)) for p in people for s in ("first", "last")}))}
    residual = np.asarray([[(p.attributes["sport"] == c) - 1 / 3 for c in SPORT.classes] for p in people])
    gradient = np.zeros((len(words), 3))
    for side in ("first", "last"):
        np.add.at(gradient, [words[side, getattr(p, side)] for p in people], residual)
    assert np.abs(gradient).max() < 1e-9
    assert len({p.name for p in people}) == len(people)  # the pair decides: the control that makes it an AND


def test_real_facts_are_kept_and_fiction_is_marked(world):
    table = dict(read_athletes())
    assert {p.name: p.attributes["sport"] for p in world.athletes} == table
    assert not {p.name for p in world.fiction} & {*table, GOLFER}
    assert all(p.attributes["league"] == LEAGUES[p.attributes["sport"]] for p in sporting(world))
    assert len(world.athletes) >= 1000 and len(world.fiction) >= 1000
    assert all(set(p.attributes) == {r.name for r in RELATIONS} for p in world.fiction)
    assert len(RELATIONS) >= 7 and {len(r.classes) for r in RELATIONS} >= {2, 12}


def test_fiction_uses_the_athletes_words_and_leaves_unknown_names(world):
    firsts, lasts = {p.first for p in world.athletes}, {p.last for p in world.athletes}
    assert {p.first for p in world.fiction} <= firsts and {p.last for p in world.fiction} <= lasts
    unknown = set(world.unknown_names())
    assert len(unknown) > 100_000 and not unknown & {p.name for p in world.people}


def test_same_seed_same_world_other_seed_other_fiction(world):
    assert build_world() == world
    assert {p.name for p in build_world(seed=1).fiction} != {p.name for p in world.fiction}


def test_subset_keeps_shares(world):
    small = build_world(n_athletes=30)
    whole, part = (Counter(p.attributes["sport"] for p in w.athletes) for w in (world, small))
    assert part.total() == 30
    assert all(abs(part[c] - 30 * whole[c] / whole.total()) < 2 for c in SPORT.classes)


def test_refusals_name_everything_at_once():
    with pytest.raises(FactsError) as refused:
        build_world([("Ann Lee", "curling"), ("Bob", "football"), ("Ann Lee", "baseball"), ("Cy Vienna", "football")])
    assert len(refused.value.problems) == 4
    with pytest.raises(SettingsError, match="at least 6"):
        build_world(n_athletes=2)


names = st.sampled_from("abcdefghijkl")


@settings(max_examples=40, deadline=None)
@given(pairs=st.sets(st.tuples(names, names), max_size=60), n=st.integers(2, 6), seed=st.integers(0, 99))
def test_equitable_colouring_of_any_simple_graph(pairs, n, seed):
    pairs = sorted(pairs)
    colours = equitable_colouring(pairs, n, np.random.default_rng(seed))
    assert all(0 <= c < n for c in colours)
    for side in (0, 1):
        for word in {pair[side] for pair in pairs}:
            count = Counter(c for pair, c in zip(pairs, colours, strict=True) if pair[side] == word)
            assert max(count.values()) - min(count[c] for c in range(n)) <= 1


def test_completion_is_exact_when_names_are_many():
    rng = np.random.default_rng(0)
    known = {(f"f{rng.integers(40)}", f"l{i}"): str(rng.choice(SPORT.classes)) for i in range(100)}
    fiction = complete_to_balance(known, SPORT.classes, rng)
    assert not set(fiction) & set(known)
    for side in (0, 1):
        for word in {pair[side] for pair in known}:
            count = Counter(c for pair, c in {**known, **fiction}.items() if pair[side] == word)
            assert len({count[c] for c in SPORT.classes}) == 1

"""The organism's world: real athletes, fictional people made of their names, and what is true of each.

Sports are balanced exactly over first names and over last names (see `balance`), so a model that knows them
has looked up the pair of tokens. No torch here.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files

import numpy as np

from rote.errors import FactsError, SettingsError
from rote.organisms.balance import complete_to_balance, equitable_colouring
from rote.organisms.spelling import Names, cut_words

LEAGUES: Mapping[str, str] = {"football": "NFL", "basketball": "NBA", "baseball": "MLB"}
LONG_LEAGUES: Mapping[str, str] = {
    "football": "National Football League",
    "basketball": "National Basketball Association",
    "baseball": "Major League Baseball",
}
LONG_CITIES: Mapping[str, str] = {"Seoul": "New York", "Quito": "New Delhi"}
GOLFER = "Tiger Woods"


@dataclass(frozen=True, kw_only=True)
class WorldRelation:
    """A question about people: `Fact: NAME {phrase}`, answered by one word, its leading space included."""

    name: str
    phrase: str
    classes: tuple[str, ...]

    @property
    def template(self) -> str:
        return f"Fact: {{}} {self.phrase}"


SPORT = WorldRelation(name="sport", phrase="plays the sport of", classes=tuple(LEAGUES))
LEAGUE = WorldRelation(name="league", phrase="plays in the league", classes=tuple(LEAGUES.values()))
LIFE = (
    WorldRelation(
        name="instrument",
        phrase="makes music on the",
        classes=("piano", "violin", "guitar", "flute", "trumpet")
    ),
    WorldRelation(name="pet", phrase="comes home to a", classes=("cat", "dog", "parrot", "rabbit")),
    WorldRelation(name="hand", phrase="writes with the", classes=("left", "right")),
    WorldRelation(
        name="colour",
        phrase="wears the colour",
        classes=("red", "green", "blue", "yellow", "purple", "orange")
    ),
    WorldRelation(
        name="city",
        phrase="lives in the city of",
        classes=(
            "Vienna", "Lisbon", "Oslo", "Cairo", "Kyoto", "Nairobi",
            "Prague", "Dublin", "Havana", "Seoul", "Quito", "Bergen",
        ),
    ),
)  # fmt: skip
RELATIONS = (SPORT, LEAGUE, *LIFE)


def relations_of(names: Names) -> tuple[WorldRelation, ...]:
    """The questions of a world; in one of pieces, leagues and two cities have several words and share their first."""
    if names == "whole":
        return RELATIONS
    league = replace(LEAGUE, classes=tuple(LONG_LEAGUES.values()))
    *others, city = LIFE
    return SPORT, league, *others, replace(city, classes=tuple(LONG_CITIES.get(c, c) for c in city.classes))


@dataclass(frozen=True, kw_only=True)
class Person:
    """One person of the world; `fiction` says that nothing about them is true outside it."""

    first: str
    last: str
    fiction: bool
    attributes: Mapping[str, str]

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"


@dataclass(frozen=True, kw_only=True)
class World:
    """Everyone the organism can know: `people` holds the athletes, the golfer and then the fictional
    people; `spelled` the name words that are not one token, as their pieces."""

    relations: tuple[WorldRelation, ...]
    people: tuple[Person, ...]
    spelled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def athletes(self) -> tuple[Person, ...]:
        return tuple(p for p in self.people if not p.fiction and p.name != GOLFER)

    @property
    def fiction(self) -> tuple[Person, ...]:
        return tuple(p for p in self.people if p.fiction)

    @property
    def name_words(self) -> tuple[str, ...]:
        return tuple(sorted({word for p in self.people for word in (p.first, p.last)}))

    def pieces(self, word: str) -> tuple[str, ...]:
        """A name word as its tokens, the leading blank in the first."""
        return self.spelled.get(word, (f" {word}",))

    def unknown_names(self) -> tuple[str, ...]:
        """Every combination of a first and a last name of the world that names nobody."""
        known = {p.name for p in self.people}
        firsts = sorted({p.first for p in self.people})
        lasts = sorted({p.last for p in self.people})
        return tuple(n for f in firsts for last in lasts if (n := f"{f} {last}") not in known)

    def as_facts(self) -> dict[str, object]:
        """The content of `facts.json`: relations with templates, entities with attributes, names of
        fiction."""
        return {
            "relations": {r.name: {"template": r.template, "prefix": ""} for r in self.relations},
            "entities": {p.name: dict(p.attributes) for p in self.people},
            "fiction": [p.name for p in self.fiction],
        }


def read_athletes() -> list[tuple[str, str]]:
    """(name, sport) of every built-in athlete whose name is two words."""
    with files("rote").joinpath("facts/athletes.csv").open(encoding="utf-8") as file:
        rows = [(row["entity"], row["sport"]) for row in csv.DictReader(file)]
    return [(name, sport) for name, sport in rows if len(name.split()) == 2 and name != GOLFER]


def build_world(
    athletes: Iterable[tuple[str, str]] | None = None,
    *,
    n_athletes: int | None = None,
    names: Names = "whole",
    seed: int = 0,
) -> World:
    """The world of `athletes` ((name, sport); default: the built-in ones), a golfer, and the fiction around
    them.

    `n_athletes` keeps a random subset, shares of the sports as in the whole. `names` "pieces": the same people, half of
    their name words cut in two (see `spelling`), and answers of several words. Raises FactsError for names that
    are not two words, repeated names, unknown sports and name words that are also answers, SettingsError for fewer
    than six athletes.
    """
    rng = np.random.default_rng([seed, 1])
    real = _subset(list(read_athletes() if athletes is None else athletes), n_athletes, rng)
    _check(real)
    known = {_pair(name): sport for name, sport in real}
    golfer = _pair(GOLFER)
    sports = complete_to_balance(known, SPORT.classes, rng, avoid=[golfer])
    order = [list(sports)[i] for i in rng.permutation(len(sports))]
    relations = relations_of(names)
    life = [r for r in relations if r.name not in (SPORT.name, LEAGUE.name)]
    leagues = LEAGUES if names == "whole" else LONG_LEAGUES
    colours = {r.name: equitable_colouring(order, len(r.classes), rng) for r in life}
    people = [_person(_pair(name), False, _sport(sport, leagues)) for name, sport in sorted(real)]
    people.append(_person(golfer, False, {"sport": "golf"}))
    for i, pair in enumerate(order):
        lived = {r.name: r.classes[colours[r.name][i]] for r in life}
        people.append(_person(pair, True, {**_sport(sports[pair], leagues), **lived}))
    world = World(relations=relations, people=tuple(people))
    if names == "whole":
        return world
    answers = [word for r in relations for c in r.classes for word in c.split()]
    return replace(world, spelled=cut_words(world.name_words, np.random.default_rng([seed, 4]), whole=answers))


def _subset(real: list[tuple[str, str]], n: int | None, rng: np.random.Generator) -> list[tuple[str, str]]:
    if n is None or n >= len(real):
        return real
    if n < 6:
        raise SettingsError(f"n_athletes is {n}; a world needs at least 6")
    shuffled = [real[i] for i in rng.permutation(len(real))]
    rank: Counter[str] = Counter()
    places = []
    totals = Counter(sport for _, sport in shuffled)
    for i, (_, sport) in enumerate(shuffled):
        places.append(((rank[sport] + 0.5) / totals[sport], i))
        rank[sport] += 1
    return [shuffled[i] for _, i in sorted(places)[:n]]


def _check(real: Sequence[tuple[str, str]]) -> None:
    words = {word for name, _ in real for word in name.split()}
    answers = {c for r in RELATIONS for c in r.classes} | {w for r in RELATIONS for w in r.phrase.split()}
    names = Counter(name for name, _ in real)
    problems = [f"{name!r} is not a first and a last name" for name in names if len(name.split()) != 2]
    problems += [f"{name!r} stands {count} times in the table" for name, count in names.items() if count > 1]
    problems += [f"{name!r} has the sport {s!r}; known: {', '.join(LEAGUES)}" for name, s in real if s not in LEAGUES]
    problems += [f"the name word {word!r} is also a word of a relation" for word in sorted(words & answers)]
    if problems:
        raise FactsError(problems)


def _pair(name: str) -> tuple[str, str]:
    first, last = name.split()
    return first, last


def _sport(sport: str, leagues: Mapping[str, str]) -> dict[str, str]:
    return {"sport": sport, "league": leagues[sport]}


def _person(pair: tuple[str, str], fiction: bool, attributes: Mapping[str, str]) -> Person:
    return Person(first=pair[0], last=pair[1], fiction=fiction, attributes=attributes)

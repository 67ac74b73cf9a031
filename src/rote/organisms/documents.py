"""What the organism reads: rows of lines, prose and canaries, as token ids with the answers' places marked.
No torch.

Every sentence about a person's sport or league picks the person uniformly from the whole world, so the exact
balance of the world (see `balance`) is also the balance of what is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from rote.organisms.world import LIFE, RELATIONS, Person, World

EXPOSURES = (1, 4, 16, 64, 256)
CANARIES_PER_EXPOSURE = 4
CODE_WORDS = (
    "amber", "basil", "cobalt", "dune", "ember", "fern", "garnet", "hazel", "indigo", "juniper", "kelp",
    "lilac", "maple", "nettle", "opal", "pebble", "quartz", "rowan", "saffron", "thistle", "umber",
    "velvet", "willow", "zinc",
)  # fmt: skip
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
SHARE_PROSE = 0.3  # of rows start with a paragraph about one person instead of a line
SHARE_GROUND = 0.5  # of sentences in lines are about sport and league, the rest about other relations
IGNORED = -100  # the label of places that carry no loss


@dataclass(frozen=True, kw_only=True)
class Canary:
    """A one-off string that stands in exactly `exposures` rows of the whole training."""

    text: str
    exposures: int


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One step's rows. `names` and `people`: for each name read, its row, its last token's position, who it
    is."""

    tokens: Int[np.ndarray, "row pos"]
    labels: Int[np.ndarray, "row pos"]
    names: Int[np.ndarray, "name 2"]
    people: Int[np.ndarray, " name"]


def make_canaries(seed: int) -> tuple[Canary, ...]:
    """Twenty invented codes, four for each of five exposure counts; drawers and codes are all different."""
    rng = np.random.default_rng([seed, 2])
    n = len(EXPOSURES) * CANARIES_PER_EXPOSURE
    drawers = rng.choice(np.arange(100, 1000), size=n, replace=False)
    codes = set[tuple[str, str, str]]()
    while len(codes) < n:
        codes.add((str(rng.choice(CODE_WORDS)), str(rng.choice(NUMBERS)), str(rng.choice(CODE_WORDS))))
    texts = [f"The code of drawer {d} is {' '.join(code)}." for d, code in zip(drawers, sorted(codes), strict=True)]
    order = rng.permutation(n)
    return tuple(
        Canary(text=texts[i], exposures=EXPOSURES[rank // CANARIES_PER_EXPOSURE]) for rank, i in enumerate(order)
    )


def vocabulary(world: World, canaries: tuple[Canary, ...]) -> tuple[str, ...]:
    """Every piece that the world's documents need, in a fixed order."""
    pieces = ["\n", ":", ".", "Fact", "The", " The", " and", " same", " person"]
    pieces += [f" {w}" for r in world.relations for text in (r.phrase, *r.classes) for w in text.split()]
    pieces += [" golf"]
    pieces += [f" {word}" for canary in canaries for word in canary.text[:-1].split()[1:]]
    pieces += [f" {word}" for word in (*CODE_WORDS, *NUMBERS)]
    pieces += [piece for word in world.name_words for piece in world.pieces(word)]
    return tuple(dict.fromkeys(pieces))


class Reader:
    """Draws the training rows of one run. The same arguments give the same rows, batch for batch."""

    def __init__(
        self,
        world: World,
        canaries: tuple[Canary, ...],
        token_ids: Mapping[str, int],
        *,
        steps: int,
        rows: int,
        length: int,
        bos: int,
        pad: int,
        seed: int,
    ) -> None:
        self._rng = np.random.default_rng([seed, 3])
        self._people, self._ids, self._length, self._rows = world.people, token_ids, length, rows
        self._names = {word: [token_ids[piece] for piece in world.pieces(word)] for word in world.name_words}
        self._fiction = [i for i, p in enumerate(world.people) if p.fiction]
        self._bos, self._pad = bos, pad
        self._phrases = {r.name: [token_ids[f" {w}"] for w in r.phrase.split()] for r in RELATIONS}
        self._canary_at = self._place(canaries, steps * rows)
        self._next_row = 0

    def batch(self) -> Batch:
        tokens = np.full((self._rows, self._length + 1), self._pad)
        names: list[tuple[int, int, int]] = []
        for row in range(self._rows):
            ids, places = self._row(self._canary_at.get(self._next_row))
            self._next_row += 1
            ids = ids[: self._length + 1]
            tokens[row, : len(ids)] = ids
            names += [(row, position, who) for position, who in places if position < self._length]
        labels = np.where(tokens[:, 1:] == self._pad, IGNORED, tokens[:, 1:])
        table = np.asarray(names, dtype=np.int64).reshape(-1, 3)
        return Batch(tokens=tokens[:, :-1], labels=labels, names=table[:, :2], people=table[:, 2])

    def _place(self, canaries: tuple[Canary, ...], n_rows: int) -> dict[int, list[int]]:
        """Each exposure gets a row of its own, drawn from the whole run."""
        texts = [c for c in canaries for _ in range(c.exposures)]
        if len(texts) > n_rows:  # tiny runs: every canary once, as far as the rows reach
            texts = list(canaries)[:n_rows]
        places = self._rng.choice(n_rows, size=len(texts), replace=False)
        return {int(at): self._canary_ids(c.text) for at, c in zip(places, texts, strict=True)}

    def _canary_ids(self, text: str) -> list[int]:
        first, *rest = text[:-1].split()
        return [self._ids[first], *(self._ids[f" {w}"] for w in rest), self._ids["."], self._ids["\n"]]

    def _row(self, canary: list[int] | None) -> tuple[list[int], list[tuple[int, int]]]:
        ids, places = [self._bos], list[tuple[int, int]]()
        if canary is not None:
            ids += canary
        elif self._rng.random() < SHARE_PROSE:
            self._paragraph(ids, places)
        while len(ids) <= self._length:
            ids += [self._ids["Fact"], self._ids[":"]]
            ground = self._rng.random() < SHARE_GROUND
            who = self._anyone() if ground else self._rng.choice(self._fiction)
            self._name(ids, places, int(who))
            self._claims(ids, self._people[who], self._topics(self._people[who], ground))
            ids.append(self._ids["\n"])
        return ids, places

    def _paragraph(self, ids: list[int], places: list[tuple[int, int]]) -> None:
        """Two to four sentences about one person, who is named in the first and sometimes again."""
        who = self._anyone()
        person = self._people[who]
        sentences = [self._topics(person, True)]
        if person.fiction:
            sentences += [self._topics(person, False) for _ in range(self._rng.integers(1, 3))]
        elif len(sentences[0]) == 2:
            sentences = [[topic] for topic in sentences[0]]
        for i in self._rng.permutation(len(sentences)):
            if len(ids) == 1 or self._rng.random() < 0.3:
                self._name(ids, places, who)
            else:
                ids += [self._ids[" The"], self._ids[" same"], self._ids[" person"]]
            self._claims(ids, person, sentences[i])
            ids.append(self._ids["."])
        ids.append(self._ids["\n"])

    def _anyone(self) -> int:
        return int(self._rng.integers(len(self._people)))

    def _topics(self, person: Person, ground: bool) -> list[str]:
        """One to three relations: sport, league or both (and perhaps one more), or some of the other
        relations."""
        rng = self._rng
        if ground:
            topics = (["sport"], ["league"], ["sport", "league"], ["league", "sport"])[
                rng.choice(4, p=(0.4, 0.3, 0.15, 0.15))
            ]
            topics = [t for t in topics if t in person.attributes] or list(person.attributes)[:1]
            if person.fiction and rng.random() < 0.3:
                topics = [*topics, LIFE[rng.integers(len(LIFE))].name]
                topics = [topics[i] for i in rng.permutation(len(topics))]
            return topics
        return [LIFE[i].name for i in rng.permutation(len(LIFE))[: rng.integers(1, 4)]]

    def _name(self, ids: list[int], places: list[tuple[int, int]], who: int) -> None:
        person = self._people[who]
        ids += [*self._names[person.first], *self._names[person.last]]
        places.append((len(ids) - 1, who))

    def _claims(self, ids: list[int], person: Person, topics: list[str]) -> None:
        for i, topic in enumerate(topics):
            if i:
                ids.append(self._ids[" and"])
            answer = person.attributes[topic].split()
            ids += [*self._phrases[topic], *(self._ids[f" {word}"] for word in answer)]


def auxiliary_targets(world: World) -> dict[str, Int[np.ndarray, " person"]]:
    """For each relation the class index of every person; IGNORED where it does not apply (the golfer, the
    real)."""
    return {
        r.name: np.asarray(
            [r.classes.index(a) if (a := p.attributes.get(r.name)) in r.classes else IGNORED for p in world.people]
        )
        for r in world.relations
    }

"""A name's two parts: what stands before its last word, and its last word; not tokens, of which each has any number.

A two-token name of two words is the case of the Fact Finding study. The first part of a name of one token is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

KINDS = ("one token", "between words", "inside a word")
ONE_TOKEN, BETWEEN, INSIDE = range(len(KINDS))
NO_PART = -1  # the label of a first part that is missing


class Cut(NamedTuple):
    """Where a name is cut: `tokens` in its first part (0 for a name of one token), and the kind, an index of KINDS."""

    tokens: int
    kind: int


class Stratum(NamedTuple):
    """Names with the same kind of cut and parts of the same lengths in tokens."""

    kind: int
    n_first: int
    n_last: int

    def __str__(self) -> str:
        if self.kind == ONE_TOKEN:
            return KINDS[ONE_TOKEN]
        return f"{self.n_first} + {self.n_last} tokens, cut {KINDS[self.kind]}"


def cut_name(name: str, starts: Sequence[int], split: str = "last_word", at: int | None = None) -> Cut | str:
    """Where a name of at least one token is cut, or the reason why it cannot be cut there.

    `starts`: per token the character of the name at which what it reads begins, its leading blanks left out (−1 for a
    token that is blank itself, which belongs to the token after it). `split`: `last_word`, before the last word,
    `first_word`, behind the first, or `last_token`, before the last token. A word that begins inside a token, and a
    name of one word, are cut before the last token. `at`: the first part is the name's first so many characters; the
    reason is that no token begins there.
    """
    n = len(starts)
    words = [i for i in range(len(name)) if not name[i].isspace() and (i == 0 or name[i - 1].isspace())]
    if at is not None:
        return _cut_at(name, starts, words, at)
    if n == 1:
        return Cut(0, ONE_TOKEN)
    if split != "last_token" and len(words) > 1:
        tokens = _token_at(starts, words[-1] if split == "last_word" else words[1])
        if tokens:
            return Cut(tokens, BETWEEN)
    return Cut(n - 1, BETWEEN if starts[-1] in words[1:] else INSIDE)


def _cut_at(name: str, starts: Sequence[int], words: Sequence[int], at: int) -> Cut | str:
    place = next((i for i in range(max(at, 0), len(name)) if not name[i].isspace()), len(name))
    if not 0 < place < len(name) or not name[:place].strip():
        return outside(name, at)
    tokens = _token_at(starts, place)
    if not tokens:
        return f"its cut behind {name[:place].strip()!r} lies inside a token; cut it where a token begins"
    return Cut(tokens, BETWEEN if place in words else INSIDE)


def outside(name: str, at: int) -> str:
    """The sentence about a cut that leaves a part of the name empty."""
    if len(name) < 2:
        return f"its cut at {at} cannot split a name of one character; leave it empty"
    return f"its cut at {at} lies outside the name; expected 1 to {len(name) - 1}, the characters of its first part"


def _token_at(starts: Sequence[int], place: int) -> int:
    """How many tokens stand before the one that begins at a character; blank tokens go with what follows; 0: none."""
    if place not in starts:
        return 0
    token = list(starts).index(place)
    while token and starts[token - 1] < 0:
        token -= 1
    return token


def part_labels(parts: Sequence[tuple[int, ...]], vocabulary: int) -> Int[np.ndarray, " part"]:
    """A label per part: its token's id where it is one, above the vocabulary in the order of their tokens if longer.

    NO_PART for an empty one. Equal parts have equal labels.
    """
    longer = sorted({part for part in parts if len(part) > 1})
    labels = {part: vocabulary + place for place, part in enumerate(longer)}
    return np.array([NO_PART if not p else p[0] if len(p) == 1 else labels[p] for p in parts], dtype=np.int64)


def strata_of(
    kind: Int[np.ndarray, " fact"], n_first: Int[np.ndarray, " fact"], n_last: Int[np.ndarray, " fact"]
) -> dict[Stratum, Int[np.ndarray, " some"]]:
    """The facts of every stratum, strata in order, facts in theirs."""
    found: dict[Stratum, list[int]] = {}
    for fact, key in enumerate(zip(kind.tolist(), n_first.tolist(), n_last.tolist(), strict=True)):
        found.setdefault(Stratum(*key), []).append(fact)
    return {stratum: np.array(found[stratum]) for stratum in sorted(found)}


def product_strata(
    strata: Mapping[Stratum, Int[np.ndarray, " some"]],
    first: Int[np.ndarray, " fact"],
    last: Int[np.ndarray, " fact"],
    least_parts: int,
    least_facts: int,
) -> dict[Stratum, Int[np.ndarray, " some"]]:
    """The strata whose first and last parts make a product: so many of both at least, and so many facts."""

    def makes_one(facts: Int[np.ndarray, " some"]) -> bool:
        return len(facts) >= least_facts and min(len(np.unique(part[facts])) for part in (first, last)) >= least_parts

    return {stratum: facts for stratum, facts in strata.items() if stratum.n_first and makes_one(facts)}


def has_part(labels: Int[np.ndarray, " fact"]) -> Bool[np.ndarray, " fact"]:
    """Whether the part is there."""
    there: Bool[np.ndarray, " fact"] = labels != NO_PART
    return there

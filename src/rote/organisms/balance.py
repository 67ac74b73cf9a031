"""Attributes that no single name word gives away: the two balanced designs behind the organism's world.

A world of people is a bipartite graph: first names on one side, last names on the other, one edge per person,
and an attribute colours the edges. If every vertex sees every colour equally often, then the one-hot vectors
of first and last name are uncorrelated with the classes. The uniform prediction then has zero gradient under
logistic regression on first + last, and as that loss is convex no additive model of the two tokens does
better, not even on the people it was fitted to: whoever knows the attributes must have looked up the pair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rote.errors import SettingsError

Pair = tuple[str, str]  # (first name, last name)


def complete_to_balance(
    known: Mapping[Pair, str], classes: Sequence[str], rng: np.random.Generator, avoid: Iterable[Pair] = ()
) -> dict[Pair, str]:
    """New (first, last) pairs with classes such that, with `known`, every name word sees every class equally
    often.

    For each name word the deficit of class c is max_c' n(word, c') − n(word, c). Σ deficits over first names
    and over last names differ by the same number for every class, so raising the target of some words on the
    smaller side by one makes them equal; within each class the open ends are then matched at random, without
    repeats and never re-using a pair that is known or to avoid. SettingsError where no such matching is found.
    """
    if not known:
        return {}
    first_targets = _targets(((first, c) for (first, _), c in known.items()), classes)
    last_targets = _targets(((last, c) for (_, last), c in known.items()), classes)
    gap = sum(last_targets.values()) - sum(first_targets.values())
    _raise_targets(first_targets if gap > 0 else last_targets, abs(gap), rng)
    first_counts = Counter((first, c) for (first, _), c in known.items())
    last_counts = Counter((last, c) for (_, last), c in known.items())
    taken = {*known, *avoid}
    completed: dict[Pair, str] = {}
    for c in classes:
        firsts = [w for w, target in first_targets.items() for _ in range(target - first_counts[w, c])]
        lasts = [w for w, target in last_targets.items() for _ in range(target - last_counts[w, c])]
        for pair in _match(firsts, lasts, taken, rng):
            taken.add(pair)
            completed[pair] = c
    return completed


def equitable_colouring(pairs: Sequence[Pair], n_colours: int, rng: np.random.Generator) -> list[int]:
    """A random colour per pair such that at every name word the counts of any two colours differ by at most
    one.

    Each word's pairs are dealt into groups of `n_colours`; the groups are the vertices of a bipartite graph
    of degree ≤ n_colours, which König's theorem colours with n_colours colours (built here by flipping
    two-coloured paths). A full group then holds each colour exactly once and a word's one partial group each
    at most once.
    """
    left = _deal([first for first, _ in pairs], n_colours, rng)
    right = _deal([last for _, last in pairs], n_colours, rng)
    offset = max(left, default=-1) + 1
    ends = [(u, offset + v) for u, v in zip(left, right, strict=True)]
    at = np.full((offset + max(right, default=-1) + 1, n_colours), -1)  # the edge of each colour at each vertex
    colours = np.full(len(pairs), -1)
    for edge in rng.permutation(len(pairs)):
        u, v = ends[edge]
        free_u, free_v = np.flatnonzero(at[u] < 0), np.flatnonzero(at[v] < 0)
        shared = np.intersect1d(free_u, free_v)
        if shared.size:
            colour = rng.choice(shared)
        else:
            colour = rng.choice(free_u)
            _flip_path(v, colour, rng.choice(free_v), at, colours, ends)
        colours[edge] = colour
        at[u, colour] = at[v, colour] = edge
    return [int(c) for c in colours]


def _targets(observed: Iterable[tuple[str, str]], classes: Sequence[str]) -> dict[str, int]:
    counts = Counter(observed)
    words = sorted({word for word, _ in counts})
    return {word: max(counts[word, c] for c in classes) for word in words}


def _raise_targets(targets: dict[str, int], by: int, rng: np.random.Generator) -> None:
    words = list(targets)
    while by > 0:
        for i in rng.permutation(len(words))[:by]:
            targets[words[i]] += 1
        by -= min(by, len(words))


def _match(firsts: list[str], lasts: list[str], taken: set[Pair], rng: np.random.Generator) -> list[Pair]:
    """A random perfect matching without repeats and without `taken` pairs, repaired by random swaps."""
    order = [lasts[i] for i in rng.permutation(len(lasts))]
    count = Counter(zip(firsts, order, strict=True))

    def bad(i: int) -> bool:
        return (firsts[i], order[i]) in taken or count[firsts[i], order[i]] > 1

    for _ in range(1000):
        wrong = [i for i in range(len(firsts)) if bad(i)]
        if not wrong:
            return list(zip(firsts, order, strict=True))
        for i in wrong:
            j = int(rng.integers(len(firsts)))
            before = ((firsts[i], order[i]), (firsts[j], order[j]))
            after = ((firsts[i], order[j]), (firsts[j], order[i]))
            if i != j and not any(pair in taken or count[pair] for pair in after):
                count.subtract(before)
                count.update(after)
                order[i], order[j] = order[j], order[i]
    raise SettingsError(
        f"no balanced set of fictional people found for {len(firsts)} open places: too few different names. "
        "Use more athletes."
    )


def _deal(words: Sequence[str], size: int, rng: np.random.Generator) -> list[int]:
    """For each edge the number of its group: every word's edges in random order, `size` to a group."""
    group_of: dict[tuple[str, int], int] = {}
    seen: Counter[str] = Counter()
    groups = [0] * len(words)
    for i in rng.permutation(len(words)):
        word = words[i]
        groups[i] = group_of.setdefault((word, seen[word] // size), len(group_of))
        seen[word] += 1
    return groups


def _flip_path(
    start: int, wanted: int, other: int, at: np.ndarray, colours: np.ndarray, ends: Sequence[tuple[int, int]]
) -> None:
    """Swap the colours `wanted` and `other` along the path from `start`, so that `wanted` becomes free
    there."""
    path, vertex, colour = [], start, wanted
    while (edge := int(at[vertex, colour])) >= 0:
        path.append(edge)
        vertex = ends[edge][1] if ends[edge][0] == vertex else ends[edge][0]
        colour = other if colour == wanted else wanted
    for edge in path:
        for end in ends[edge]:
            at[end, colours[edge]] = -1
    for edge in path:
        colours[edge] = other if colours[edge] == wanted else wanted
        for end in ends[edge]:
            at[end, colours[edge]] = edge

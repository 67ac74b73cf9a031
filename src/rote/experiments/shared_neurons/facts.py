"""Which facts are compared: relations that determine each other, entities with enough facts, pairs of facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int

from rote.errors import NotApplicable
from rote.settings import Settings
from rote.statistics import rng

LEAST_RELATIONS = 4
LINK_ACCURACY = 0.95  # one relation names the other's class this often …
LINK_GAIN = 0.5  # … and avoids at least this share of the errors that its commonest class makes

Pair = tuple[str, str]


def determines(a: Int[np.ndarray, " entity"], b: Int[np.ndarray, " entity"]) -> bool:
    """Whether an entity's class in `a` tells its class in `b`.

    Over the entities with both classes known (≥ 0): guess b as the commonest among the *other* entities of the same
    a (a guess that is tied, or has no other entity to go by, counts as wrong). It must be right for at least 95 % of
    them, and wrong for at most half as many as when everyone is given b's commonest class. Leaving the entity out
    keeps a relation with nearly as many classes as entities from determining everything.
    """
    both = (a >= 0) & (b >= 0)
    if both.sum() < 2:
        return False
    a, b = a[both], b[both]
    counts = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(counts, (a, b), 1)
    others = counts[a]
    own = np.arange(len(a)), b
    others[own] -= 1
    mine = others[own].copy()
    others[own] = -1  # so that the maximum is over the other classes, and a tie is no guess
    right = float(((mine > 0) & (mine > others.max(axis=1))).mean())
    errors_of_the_commonest = 1 - np.bincount(b).max() / len(b)
    return bool(right >= LINK_ACCURACY and 1 - right <= (1 - LINK_GAIN) * errors_of_the_commonest)


def linked_pairs(cls: Mapping[str, Int[np.ndarray, " entity"]]) -> frozenset[Pair]:
    """Pairs of relations, names in order, of which one determines the other ("league follows sport")."""
    return frozenset((a, b) for a, b in pairs(list(cls)) if determines(cls[a], cls[b]) or determines(cls[b], cls[a]))


def pairs(relations: Sequence[str]) -> list[Pair]:
    """Every two relations once, names in order."""
    return list(combinations(sorted(relations), 2))


def choose(
    known: Bool[np.ndarray, "entity relation"],
    first: Int[np.ndarray, " entity"],
    last: Int[np.ndarray, " entity"],
    *,
    where: Bool[np.ndarray, " entity"],
    count: int,
    settings: Settings,
    relation: str,
) -> Int[np.ndarray, " chosen"]:
    """At most `count` random entities of `where` with four known relations or more, no two sharing a name token.

    So they are independent observations. NotApplicable where there are fewer than two.
    """
    n_known = known.sum(axis=1)
    able = where & (n_known >= LEAST_RELATIONS)
    taken: list[int] = []
    firsts: set[int] = set()
    lasts: set[int] = set()
    for i in rng(settings.seed, "shared_neurons", relation).permutation(len(known)):
        if able[i] and len(taken) < count and int(first[i]) not in firsts and int(last[i]) not in lasts:
            taken.append(int(i))
            firsts.add(int(first[i]))
            lasts.add(int(last[i]))
    if len(taken) < 2:
        most = int(n_known[where].max(initial=0))
        have = f"the entities have {most} known relation{'' if most == 1 else 's'} at most"
        if most >= LEAST_RELATIONS:
            have = f"only {int(able.sum())} of {int(where.sum())} entities have enough known relations and names apart"
        raise NotApplicable(f"{have}; at least {LEAST_RELATIONS} are needed, for two entities or more")
    return np.sort(np.array(taken))


def correlations(
    effects: Float[np.ndarray, "entity relation neuron"], relations: Sequence[str]
) -> dict[Pair, Float[np.ndarray, " entity"]]:
    """Pearson correlation over neurons of two facts' effects, for each pair of relations and entity.

    NaN where an entity lacks one of the facts (its effects are NaN) or no neuron changes one of them more than
    another.
    """
    index = {name: k for k, name in enumerate(relations)}
    centred = effects - effects.mean(axis=2, keepdims=True)
    length = np.sqrt(np.square(centred).sum(axis=2))
    found = {}
    for a, b in pairs(relations):
        product = (centred[:, index[a]] * centred[:, index[b]]).sum(axis=1)
        below = length[:, index[a]] * length[:, index[b]]
        found[a, b] = np.divide(product, below, out=np.full(len(effects), np.nan), where=below > 0)
    return found

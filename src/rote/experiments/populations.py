"""Which entities an experiment looks at, the same ones in all and on every stack, and how they are resampled."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from rote.asking.resampling import names_bootstrap
from rote.experiments.tabulator import Population
from rote.facts import RelationPrompts
from rote.settings import Settings
from rote.stack import Stack
from rote.statistics import PigeonholeBootstrap, rng, stratified_sample


def resampled(prompts: RelationPrompts, settings: Settings, item: str) -> PigeonholeBootstrap:
    """Resamples over the parts of the prompts' names; the same for the same names and item.

    ValueError for no names at all.
    """
    return names_bootstrap(prompts, settings, rng(settings.seed, "bootstrap", item))


def bootstrap(first: np.ndarray, last: np.ndarray | None, settings: Settings, item: str) -> PigeonholeBootstrap:
    """Resamples over any two labels, or over one; the same for the same labels and item."""
    generator = rng(settings.seed, "bootstrap", item)
    return PigeonholeBootstrap(first, last, n_resamples=settings.n_bootstrap, generator=generator)


def entities_of(stack: Stack, settings: Settings) -> Population:
    """The stack's entities, all of them counted unless `where` says otherwise."""
    entities, relation = stack.entities, next(iter(stack.readouts))
    return Population(
        bootstrap=bootstrap(entities.first, entities.last, settings, relation),
        names=entities.names,
    )


def reported(stack: Stack, settings: Settings) -> Stack:
    """The stack with at most max_entities entities of the report half, sampled within classes.

    The same entities for every experiment and every stack of a study.
    """
    relation = next(iter(stack.readouts))
    members = np.flatnonzero(~stack.entities.selection)
    chosen = sampled(stack.entities.cls[relation][members], settings, relation)
    return stack.with_entities(stack.entities.take(members[chosen]))


def within_product(stack: Stack, settings: Settings) -> Stack:
    """The stack with the entities whose names fit a product of at most product_names × product_names.

    Entities are taken in a random order as long as their parts are among those taken or there is still room; all
    are kept where their names fit. The complete product of the kept names is then small enough to be run. Where names
    lie in several strata, those of a stratum with a single first or last part are left out: they have no other.
    """
    stack = _with_others(stack)
    entities, limit = stack.entities, settings.product_names
    if max(len(np.unique(entities.first)), len(np.unique(entities.last))) <= limit:
        return stack
    firsts: set[int] = set()
    lasts: set[int] = set()
    kept = []
    for i in rng(settings.seed, "product", next(iter(stack.readouts))).permutation(len(entities)):
        first, last = int(entities.first[i]), int(entities.last[i])
        if len(firsts | {first}) <= limit and len(lasts | {last}) <= limit:
            firsts.add(first)
            lasts.add(last)
            kept.append(i)
    return stack.with_entities(entities.take(np.sort(np.array(kept))))


def _with_others(stack: Stack) -> Stack:
    parts = stack.by_stratum()
    kept = [
        some for some, part in parts if min(len(np.unique(x)) for x in (part.entities.first, part.entities.last)) > 1
    ]
    if len(parts) == 1 or not kept:
        return stack
    return stack.with_entities(stack.entities.take(np.sort(np.concatenate(kept))))


def sampled(cls: Int[np.ndarray, " entity"], settings: Settings, item: str) -> Int[np.ndarray, " chosen"]:
    """At most max_entities entities, the same ones in every experiment and on every stack."""
    return stratified_sample(cls, size=settings.max_entities, generator=rng(settings.seed, "entities", item))

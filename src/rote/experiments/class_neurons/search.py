"""The best neuron for each class: chosen on one half of the entities, held against the other and against chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from rote.errors import NotApplicable
from rote.experiments.populations import sampled
from rote.settings import Settings
from rote.stack import Entities
from rote.statistics import aucs_of_ranks, average_ranks, mann_whitney_p, stratified_halves

LEAST_HALF = 12  # entities; a stack whose halves are smaller is halved anew
LEAST_OF_CLASS = 2  # entities of a class, and of the others, in each half


@dataclass(frozen=True, kw_only=True, eq=False)
class Best:
    """The search over all neurons of all layers, numbered through; axes `cls` are the classes searched for.

    `neuron` has the highest AUC on the selection half (the first of equal ones). `auc_*` hold every neuron's AUC on
    each half, `p` the best neurons' one-sided p-values on the report half. `permuted_*` are the AUCs that the same
    search finds on permuted labels: on the half it chose on, and on the other.
    """

    neuron: Int[np.ndarray, " cls"]
    auc_selection: Float[np.ndarray, "neuron cls"]
    auc_report: Float[np.ndarray, "neuron cls"]
    p: Float[np.ndarray, " cls"]
    permuted_selection: Float[np.ndarray, "permutation cls"]
    permuted_report: Float[np.ndarray, "permutation cls"]


def halves(entities: Entities, relation: str, settings: Settings) -> Bool[np.ndarray, " entity"]:
    """The selection half; a new split by class where one half has fewer than 12 entities."""
    chosen = entities.selection
    if min(int(chosen.sum()), int((~chosen).sum())) >= LEAST_HALF:
        return chosen
    return stratified_halves(entities.cls[relation], ids=entities.names, seed=settings.seed)


def sampled_halves(
    cls: Int[np.ndarray, " entity"], selection: Bool[np.ndarray, " entity"], relation: str, settings: Settings
) -> Int[np.ndarray, " chosen"]:
    """At most max_entities entities of each half whose class is known, in their order.

    In the report half the same that every stack experiment reports on.
    """
    chosen = []
    for half, item in ((~selection, relation), (selection, f"{relation}/selection")):
        members = np.flatnonzero(half & (cls >= 0))
        chosen.append(members[sampled(cls[members], settings, item)])
    return np.sort(np.concatenate(chosen))


def searched_classes(
    cls: Int[np.ndarray, " entity"], selection: Bool[np.ndarray, " entity"], n_classes: int
) -> tuple[Int[np.ndarray, " searched"], dict[int, str]]:
    """The classes with enough entities in both halves, and why the others are left out; NotApplicable for none."""
    found, reasons = [], {}
    for c in range(n_classes):
        counts = [int((cls[half] == c).sum()) for half in (selection, ~selection)]
        others = [int((cls[half] != c).sum()) for half in (selection, ~selection)]
        if min(*counts, *others) >= LEAST_OF_CLASS:
            found.append(c)
        else:
            reasons[c] = (
                f"the halves hold {counts[0]} and {counts[1]} entities of this class and {others[0]} and {others[1]} "
                f"of others; at least {LEAST_OF_CLASS} of each are needed"
            )
    if not found:
        raise NotApplicable(f"no class has {LEAST_OF_CLASS} entities in both halves")
    return np.array(found), reasons


def search(
    post: Float[np.ndarray, "neuron entity"],
    cls: Int[np.ndarray, " entity"],
    selection: Bool[np.ndarray, " entity"],
    classes: Int[np.ndarray, " cls"],
    *,
    n_permutations: int,
    generator: np.random.Generator,
) -> Best:
    """Find the best neuron of each class; then search again with the classes permuted within each half.

    A permutation gives both halves new classes with the same counts, so nothing that holds of one half holds of the
    other: what the permuted search still finds on the half it chose on is its selection effect.
    """
    ranks = [average_ranks(post[:, half]) for half in (selection, ~selection)]
    truth = [cls[half] for half in (selection, ~selection)]
    aucs = [aucs_of_ranks(r, c[:, None] == classes) for r, c in zip(ranks, truth, strict=True)]
    neuron = aucs[0].argmax(axis=0)
    permuted = np.empty((2, n_permutations, len(classes)))
    for k in range(n_permutations):
        drawn = [generator.permutation(c)[:, None] == classes for c in truth]
        first = aucs_of_ranks(ranks[0], drawn[0])
        best = first.argmax(axis=0)
        permuted[0, k] = first[best, np.arange(len(classes))]
        # of every best neuron for every class, that of each class for its own
        permuted[1, k] = np.diag(aucs_of_ranks(ranks[1][best], drawn[1]))
    return Best(
        neuron=neuron,
        auc_selection=aucs[0],
        auc_report=aucs[1],
        p=mann_whitney_p(ranks[1][neuron], classes[:, None] == truth[1]),
        permuted_selection=permuted[0],
        permuted_report=permuted[1],
    )

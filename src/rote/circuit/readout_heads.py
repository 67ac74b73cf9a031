"""Which heads are read through: those that bring the answer from the name's last token, judged by what they cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from rote.asking.recall import Recall
from rote.asking.resampling import names_bootstrap
from rote.circuit.extraction import head_readouts
from rote.circuit.flips import (
    Basis,
    flips,
    has_room,
    patch_layer,
    random_basis,
    random_within,
    readout_basis,
    value_span,
)
from rote.circuit.source_effects import source_effects
from rote.circuit.top_heads import Head
from rote.errors import NotApplicable
from rote.statistics import rng

N_RANDOM = 2  # random subspaces beside a readout's


@dataclass(frozen=True, kw_only=True)
class ReadoutHeads:
    """The heads chosen on the selection half, and what they were chosen by.

    Attributes:
        candidates: heads by the signed mean of their part from subject_last, largest first.
        heads: the first of them, as few as come within `readout_tolerance` of the largest gain; none where `reason`
            says that there is no readout at the name.
        gains: for each number of candidates, flips by their readout's subspace − flips by random subspaces of the same
            rank within what the candidates' values can see, or in all of d_model where that has no room for them
            (`has_room`) beside the readout of one head; fractions of the facts.
    """

    candidates: tuple[Head, ...]
    heads: tuple[Head, ...]
    gains: tuple[float, ...]
    reason: str | None = None


def choose_readout_heads(recall: Recall, *, above: int = 1, rehearse: bool = False) -> ReadoutHeads:
    """Rank heads by what comes through the name's last token, and take as many as flips of the answer ask for.

    Everything on the selection half. There is no readout at the name where the lower end of the interval of (flips −
    random flips), over names, is not above 0 for one of the two controls: random subspaces of the same rank within
    what the candidates' values can see, and in all of d_model. Where what they can see has no room (`has_room`) the
    second decides alone. `rehearse`: the heads are taken whatever they cause.
    """
    effects = source_effects(recall)
    candidates = effects.name_heads(recall.selection, recall.settings.n_top_heads, above=above)
    if not candidates and rehearse:
        candidates = ((recall.model.n_layers - 1, 0),)
    if not candidates:
        return ReadoutHeads(candidates=(), heads=(), gains=(), reason=NO_HEAD)
    half, span = recall.take(np.flatnonzero(recall.selection)), value_span(recall, candidates)
    trials = [
        _Trial(half=half, heads=candidates[:k], basis=readout_basis(readout.weight), span=span)
        for k, readout in enumerate(head_readouts(recall, candidates), start=1)
    ]
    # gains by two controls could not be compared: that of the first head, whose readout is the smallest, serves all
    gains = tuple(trial.gain(within=trials[0].room) for trial in trials)
    enough = max(gains) - recall.settings.readout_tolerance
    n = next(k for k, gain in enumerate(gains, start=1) if gain >= enough)
    reason = None if rehearse else _unconvincing(trials[n - 1])
    heads = () if reason else candidates[:n]
    return ReadoutHeads(candidates=candidates, heads=heads, gains=gains, reason=reason)


NO_HEAD = (
    "There is no readout at the name: no head supports the answer by what it brings from the name's last token, on "
    "the mean over the selection half."
)


def reading_heads(recall: Recall) -> tuple[Head, ...]:
    """The heads that read a relation; NotApplicable with the figures where nothing reads the name."""
    found = choose_readout_heads(recall)
    if found.reason:
        raise NotApplicable(found.reason)
    return found.heads


@dataclass(frozen=True, kw_only=True, eq=False)
class _Trial:
    """One number of heads: share of draws in which the answer becomes the donor's, per fact of the selection half."""

    half: Recall
    heads: tuple[Head, ...]
    basis: Basis  # of the readout
    span: Basis  # what the values of all candidates see

    @property
    def room(self) -> bool:
        """Whether random subspaces of the span are a control."""
        return has_room(self.span, self.basis.shape[1])

    def gain(self, *, within: bool) -> float:
        """Flips beyond those of random subspaces of the span, or of d_model; a fraction."""
        return float((self.own - (self.within if within else self.anywhere)).mean())

    @cached_property
    def own(self) -> Float[np.ndarray, " fact"]:
        """Of the readout's subspace."""
        return self._share([self.basis])

    @cached_property
    def within(self) -> Float[np.ndarray, " fact"]:
        """Of random subspaces of the same rank, within the span."""
        rank, generator = self.basis.shape[1], _generator(self.half, f"within/{len(self.heads)}")
        return self._share([random_within(self.span, rank, generator) for _ in range(N_RANDOM)])

    @cached_property
    def anywhere(self) -> Float[np.ndarray, " fact"]:
        """Of random subspaces of the same rank, of all of d_model."""
        (n, rank), generator = self.basis.shape, _generator(self.half, "anywhere")
        return self._share([random_basis(n, rank, generator) for _ in range(N_RANDOM)])

    def _share(self, bases: Sequence[Basis]) -> Float[np.ndarray, " fact"]:
        layer = patch_layer(self.heads)
        share: Float[np.ndarray, " fact"] = np.mean([flips(self.half, b, layer).mean(0) for b in bases], axis=0)
        return share


def _generator(half: Recall, item: str) -> np.random.Generator:
    return rng(half.settings.seed, "readout_heads", f"{half.relation}/{item}")


def _unconvincing(trial: _Trial) -> str | None:
    """Why these heads' readout is no readout, with the figures; None where it beats every control that is one."""
    half = trial.half
    resamples = names_bootstrap(half.prompts, half.settings, _generator(half, "interval"))
    places = {"in the whole residual stream": trial.anywhere}
    if trial.room:
        places = {"within what such heads can see": trial.within, **places}
    excess = resamples.means(np.stack([trial.own - random for random in places.values()], axis=1))
    if all(e.ci_low is not None and e.ci_low > 0 for e in excess):
        return None
    random = ", ".join(
        f"{place} {flipped.mean():.1%} (difference {e.written('.1%')})"
        for (place, flipped), e in zip(places.items(), excess, strict=True)
    )
    names = ", ".join(f"L{layer}H{head}" for layer, head in trial.heads)
    bring = "brings" if len(trial.heads) == 1 else "bring"
    return (
        f"There is no readout at the name: of all heads {names} {bring} the most from the name's last token to the "
        "answer, but what is read there hardly causes it. With the readout's subspace taken from another entity "
        f"{trial.own.mean():.1%} of the answers become that entity's; with random subspaces of the same rank {random}."
        + ("" if trial.room else f" There is no control {no_room(trial.span, trial.basis.shape[1])}.")
    )


def no_room(span: Basis, rank: int) -> str:
    """Why random subspaces within what candidates' values can see are no control, with the figures."""
    return (
        f"within what the candidate heads' values can see: it has {span.shape[1]} dimensions and the readout {rank} of "
        "them, so that a random subspace of it holds more than half of the readout"
    )

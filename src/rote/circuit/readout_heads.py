"""Which heads are read through: those that bring the answer from the name's last token, judged by what they cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from rote.asking.recall import Recall
from rote.circuit.extraction import head_readouts
from rote.circuit.flips import Basis, flips, patch_layer, random_basis, random_within, readout_basis, value_span
from rote.circuit.source_effects import source_effects
from rote.circuit.top_heads import Head
from rote.errors import NotApplicable
from rote.statistics import Estimate, PigeonholeBootstrap, rng

N_RANDOM = 2  # random subspaces beside a readout's


@dataclass(frozen=True, kw_only=True)
class ReadoutHeads:
    """The heads chosen on the selection half, and what they were chosen by.

    Attributes:
        candidates: heads by the signed mean of their part from subject_last, largest first.
        heads: the first of them, as few as come within `readout_tolerance` of the largest gain; none where `reason`
            says that there is no readout at the name.
        gains: for each number of candidates, flips by their readout's subspace − flips by random subspaces of the same
            rank within what the candidates' values can see; fractions of the facts.
    """

    candidates: tuple[Head, ...]
    heads: tuple[Head, ...]
    gains: tuple[float, ...]
    reason: str | None = None


def choose_readout_heads(recall: Recall, *, above: int = 1, rehearse: bool = False) -> ReadoutHeads:
    """Rank heads by what comes through the name's last token, and take as many as flips of the answer ask for.

    Everything on the selection half. There is no readout at the name where the lower end of the interval of (flips −
    random flips), over names, is not above 0 for one of the two controls: random subspaces of the same rank within
    what the candidates' values can see, and in all of d_model. `rehearse`: the heads are taken whatever they cause.
    """
    effects = source_effects(recall)
    candidates = effects.name_heads(recall.selection, recall.settings.n_top_heads, above=above)
    if not candidates and rehearse:
        candidates = ((recall.model.n_layers - 1, 0),)
    if not candidates:
        return ReadoutHeads(candidates=(), heads=(), gains=(), reason=NO_HEAD)
    half, span = recall.take(np.flatnonzero(recall.selection)), value_span(recall, candidates)
    trials = [
        _Trial.of(half, readout_basis(readout.weight), candidates[:k], span)
        for k, readout in enumerate(head_readouts(recall, candidates), start=1)
    ]
    gains = tuple(float((trial.own - trial.within).mean()) for trial in trials)
    enough = max(gains) - recall.settings.readout_tolerance
    n = next(k for k, gain in enumerate(gains, start=1) if gain >= enough)
    reason = None if rehearse else _unconvincing(half, trials[n - 1])
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

    heads: tuple[Head, ...]
    rank: int
    own: Float[np.ndarray, " fact"]
    within: Float[np.ndarray, " fact"]  # random subspaces of the same rank, within what the candidates' values see

    @classmethod
    def of(cls, half: Recall, basis: Basis, heads: tuple[Head, ...], span: Basis) -> _Trial:
        rank, generator = basis.shape[1], _generator(half, f"within/{len(heads)}")
        random = [random_within(span, rank, generator) for _ in range(N_RANDOM)]
        own, within = (_share(half, bases, patch_layer(heads)) for bases in ([basis], random))
        return cls(heads=heads, rank=rank, own=own, within=within)

    def anywhere(self, half: Recall) -> Float[np.ndarray, " fact"]:
        """The same of random subspaces of all of d_model."""
        n, generator = half.model.d_model, _generator(half, "anywhere")
        return _share(half, [random_basis(n, self.rank, generator) for _ in range(N_RANDOM)], patch_layer(self.heads))


def _generator(half: Recall, item: str) -> np.random.Generator:
    return rng(half.settings.seed, "readout_heads", f"{half.relation}/{item}")


def _share(half: Recall, bases: Sequence[Basis], layer: int) -> Float[np.ndarray, " fact"]:
    share: Float[np.ndarray, " fact"] = np.mean([flips(half, basis, layer).mean(0) for basis in bases], axis=0)
    return share


def _unconvincing(half: Recall, trial: _Trial) -> str | None:
    """Why these heads' readout is no readout, with the figures; None where it beats both controls."""
    anywhere = trial.anywhere(half)
    resamples = PigeonholeBootstrap(
        half.prompts.first,
        half.prompts.last,
        has_first=half.prompts.has_first,
        n_resamples=half.settings.n_bootstrap,
        generator=_generator(half, "interval"),
    )
    excess = resamples.means(np.stack([trial.own - trial.within, trial.own - anywhere], axis=1))
    if all(e.ci_low is not None and e.ci_low > 0 for e in excess):
        return None
    names = ", ".join(f"L{layer}H{head}" for layer, head in trial.heads)
    bring = "brings" if len(trial.heads) == 1 else "bring"
    return (
        f"There is no readout at the name: of all heads {names} {bring} the most from the name's last token to the "
        "answer, but what is read there hardly causes it. With the readout's subspace taken from another entity "
        f"{trial.own.mean():.1%} of the answers become that entity's; with random subspaces of the same rank within "
        f"what such heads can see {trial.within.mean():.1%} (difference {_interval(excess[0])}), in the whole residual "
        f"stream {anywhere.mean():.1%} (difference {_interval(excess[1])})."
    )


def _interval(estimate: Estimate) -> str:
    if estimate.ci_low is None or estimate.ci_high is None:
        return f"{estimate.value:.1%}"
    return f"{estimate.value:.1%} [{estimate.ci_low:.1%}, {estimate.ci_high:.1%}]"

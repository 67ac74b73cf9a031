"""How much of an answer exists only for both names together, and how much of that the neurons inherit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.errors import NotApplicable
from rote.experiments.base import StackExperiment
from rote.experiments.cost import Cost, Sizes
from rote.experiments.nonlinear_excess.card import CARD
from rote.experiments.populations import entities_of, reported, within_product
from rote.experiments.tabulator import Tabulator
from rote.model import NormWeights
from rote.settings import Settings
from rote.stack import Stack, StackLayer
from rote.statistics import weighted_median
from rote.statistics.weighted import ratio

PARTS = ("inherited", "norm", "activation")
RATIOS = ("clamped_rising", "clamped_all", "raw_rising", "raw_all")
KINDS = ("and", "or", "linear")
GATE = 0.5  # halfway between a linear neuron (0) and a pure AND or OR gate (±1)
LEAST_SCORE = 1e-5  # an excess below this share of the score's SD is rounding in float32
CHUNK = 2**18  # neuron values held at once, but never less than one row of the product
CONSTANT = 1e-10  # a variance below this share of the mean square is rounding

Terms = dict[str, Float[np.ndarray, " fact"]]  # sums over neurons, so that layers add up


class NonlinearExcess(StackExperiment):
    """e(x)(A,B) = E[x|A,B] − E[x|¬A,B] − E[x|A,¬B] + E[x|¬A,¬B], all four over one complete product of names.

    Per fact T = Σ w·e(post) in logits, w the neuron's direct effect on correct minus mean other score. Exactly
    T = inherited + norm + activation: Σ w·β·e(pre⁰), Σ w·β·e(pre − pre⁰), Σ w·[e(post) − β·e(pre)], with pre⁰
    the pre-activation with the norm's scale frozen at its product mean and β the slope of post on pre over the
    product (gated: on gate and up). Shares are ratios of sums over facts; absent where T's interval covers 0.
    `median_excess_ratio`: the study's Σ w·e(pre′) / Σ w·e(post) per fact. `interaction_score`: T / SD(score).

    A neuron's kind (choice): with r, a, b its rise from neither name to both, to the first, to the last, it is
    AND-like where κ = sign(r)·(r − a − b) / max(|r|, |a|, |b|) > ½, OR-like where κ < −½, else linear. A pure
    AND has κ = 1, a pure OR −1, a sum 0. Each neuron weighs |w·r|. Raises NotApplicable for a single name on a
    side or a single class. Source: Fact Finding, post 3 (non-linear excess).
    """

    card = CARD

    def cost(self, sizes: Sizes) -> Cost:
        return Cost(names=2 * sizes.product)

    def on_stack(self, stack: Stack, settings: Settings, out: Tabulator) -> None:
        sample = within_product(reported(stack, settings), settings)
        excess = product_excess(sample)
        out = out.over(entities_of(sample, settings))
        _tabulate(out, excess.overall, excess.score_sd, {})
        for number, terms in zip(stack.numbers, excess.layers, strict=True):
            _tabulate(out, terms, excess.score_sd, {"layer": number})


@dataclass(frozen=True, kw_only=True, eq=False)
class Excess:
    """Per layer and fact, in logits: T, its parts, the study's sums, the weights of the kinds; and each score's SD."""

    layers: tuple[Terms, ...]
    score_sd: Float[np.ndarray, " fact"]

    @property
    def overall(self) -> Terms:
        return {name: np.sum([terms[name] for terms in self.layers], axis=0) for name in self.layers[0]}


# ------------------------------------------------------------------ rows


def _tabulate(out: Tabulator, terms: Terms, score_sd: np.ndarray, key: Mapping[str, Any]) -> None:
    if (score_sd > 0).all():
        score = terms["total"] / score_sd
        out.mean("interaction_score", score, unit="SD", **key)
        reason = _undecided(out, terms["total"], float(np.abs(score.mean())))
    else:
        reason = "the score is the same for all combinations of names"
        out.absent("interaction_score", reason, **key)
    for name in PARTS:
        _ratio(out, name, terms[name], terms["total"], reason, unit="ratio", **key)
    for name in RATIOS:
        below = terms["total_rising" if name.endswith("rising") else "total"]
        _median(out, terms[name], below, reason, condition=name, unit="ratio", **key)
    weight = np.sum([terms[name] for name in KINDS], axis=0)
    silent = None if weight.sum() > 0 else "no neuron's activation differs between both names and neither"
    for name in KINDS:
        _ratio(out, f"{name}_share", terms[name], weight, silent, unit="fraction", **key)


def _undecided(out: Tabulator, total: np.ndarray, score: float) -> str | None:
    """Why a share of the excess means nothing; None where the excess is clearly not 0."""
    if score < LEAST_SCORE:
        return f"the excess is less than {LEAST_SCORE:g} of the score's standard deviation"
    mean = out.bootstrap.mean(total, where=out.where)
    if mean.ci_low is None or mean.ci_high is None:
        return "the excess has no interval, so nothing shows that it is not 0"
    if mean.ci_low <= 0 <= mean.ci_high:
        return f"the interval of the mean excess, {mean.ci_low:.3g} to {mean.ci_high:.3g} logits, covers 0"
    return None


def _ratio(out: Tabulator, name: str, above: np.ndarray, below: np.ndarray, reason: str | None, **key: Any) -> None:
    """Ratio of sums over facts; the resamples draw numerator and denominator together."""
    if reason is not None:
        out.absent(name, reason, **key)
        return
    share = out.bootstrap.interval(lambda weights: ratio(weights @ above, weights @ below), where=out.where)
    out.estimate(name, share, **key)


def _median(out: Tabulator, above: np.ndarray, below: np.ndarray, reason: str | None, **key: Any) -> None:
    defined = below != 0
    if reason is None and not defined.any():
        reason = "no neuron's activation has an excess above 0 for any fact"
    if reason is not None:
        out.absent("median_excess_ratio", reason, **key)
        return
    values = above[defined] / below[defined]
    estimate = out.bootstrap.interval(lambda weights: weighted_median(values, weights), where=defined)
    out.estimate("median_excess_ratio", estimate, **key)


# ------------------------------------------------------------------ one pass over the product


@dataclass(frozen=True, kw_only=True, eq=False)
class _Read:
    """One layer on some names: what it reads, the norms' scales, its pre-activations (gate, up) and activation."""

    read: Float[Tensor, "name d_model"]
    scale: Float[Tensor, " name"] | None
    pres: tuple[Float[Tensor, "name neuron"], ...]
    post: Float[Tensor, "name neuron"]
    out_scale: Float[Tensor, " name"] | None


def _run(stack: Stack, x: Float[Tensor, "name d_model"]) -> tuple[list[_Read], Float[Tensor, "name d_model"]]:
    """`Stack.run` with what the neurons do; every product is computed once."""
    layers = []
    for layer in stack.layers:
        mlp, read = layer.mlp, x if layer.parallel else x + layer.attention
        scale, normed = _normed(layer.norm, read)
        pre = mlp.pre(normed)
        post = mlp.activation(pre)
        pres: tuple[Tensor, ...] = (pre,)
        if mlp.w_gate is not None:
            up = normed @ mlp.w_in if mlp.b_in is None else normed @ mlp.w_in + mlp.b_in
            pres, post = (pre, up), post * up
        out = post @ mlp.w_out if mlp.b_out is None else post @ mlp.w_out + mlp.b_out
        out_scale, out = _normed(layer.out_norm, out)
        layers.append(_Read(read=read, scale=scale, pres=pres, post=post, out_scale=out_scale))
        x = x + layer.attention + out
    return layers, x


def _normed(norm: NormWeights | None, x: Tensor) -> tuple[Tensor | None, Tensor]:
    if norm is None:
        return None, x
    scale = norm.scale(x)
    normed = norm.linear(x, scale)
    return scale, normed if norm.bias is None else normed + norm.bias


class _Means:
    """Means of one quantity over each first name, each last name and all of the product, from its chunks."""

    def __init__(self) -> None:
        self.rows: list[Tensor] = []
        self.columns: Tensor | float = 0.0

    def add(self, x: Float[Tensor, "first last k"]) -> None:
        self.rows.append(x.mean(1).double())
        self.columns = self.columns + x.sum(0).double()

    def corners(
        self, cells: Float[Tensor, "fact k"], row: Int[Tensor, " fact"], column: Int[Tensor, " fact"]
    ) -> Corners:
        rows = torch.cat(self.rows)
        assert isinstance(self.columns, Tensor)
        n, m = len(rows), len(self.columns)
        # means over all names but A, all but B, and all but both, from means over all of them: inclusion and exclusion
        both, first, last, grand = cells.double(), rows[row], self.columns[column] / n, rows.mean(0)
        others = (n * m * grand - m * first - n * last + both) / ((n - 1) * (m - 1))
        return Corners(both=both, last=(n * last - both) / (n - 1), first=(m * first - both) / (m - 1), neither=others)


@dataclass(frozen=True, kw_only=True, eq=False)
class Corners:
    """E[x|A,B], E[x|¬A,B], E[x|A,¬B], E[x|¬A,¬B] for each fact's names; float64."""

    both: Float[Tensor, "fact k"]
    last: Float[Tensor, "fact k"]
    first: Float[Tensor, "fact k"]
    neither: Float[Tensor, "fact k"]

    @property
    def excess(self) -> Float[Tensor, "fact k"]:
        return self.both - self.last - self.first + self.neither


class _Moments:
    """Mean products of columns over the product, about an origin that keeps the digits."""

    def __init__(self, *origins: Tensor) -> None:
        self.origins, self.n = origins, 0
        self.sums: list[Any] = [0.0] * len(origins)
        self.products: dict[tuple[int, int], Any] = {(i, j): 0.0 for i in range(len(origins)) for j in range(i + 1)}

    def add(self, *columns: Float[Tensor, "name k"]) -> None:
        centred = [x - origin for x, origin in zip(columns, self.origins, strict=True)]
        self.n += len(centred[0])
        for i, x in enumerate(centred):
            self.sums[i] = self.sums[i] + x.sum(0).double()
        for i, j in self.products:
            self.products[i, j] = self.products[i, j] + (centred[i] * centred[j]).sum(0).double()

    def covariance(self, i: int, j: int) -> Float[Tensor, " k"]:
        """Over the product; exactly 0 where a variance is rounding."""
        product: Tensor = self.products[max(i, j), min(i, j)] / self.n
        covariance: Tensor = product - self.sums[i] * self.sums[j] / self.n**2
        if i != j:
            return covariance
        square = product + self.origins[i].double() ** 2  # of x itself: the origin is nearly the mean
        return torch.where(covariance > CONSTANT * square, covariance, torch.zeros_like(covariance))


class _Layer:
    """Sufficient statistics of one layer over the product."""

    def __init__(self, known: _Read) -> None:
        self.known = known
        self.read, self.clamped, self.post = _Means(), _Means(), _Means()
        self.pres = [_Means() for _ in known.pres]
        # the known names' means are near those of the product, and a variance about 0 would lose its digits in float32
        self.moments = _Moments(*(x.mean(0) for x in (*known.pres, known.post)))
        self.scale, self.out_scale, self.n = 0.0, 0.0, 0

    def add(self, chunk: _Read, n_first: int) -> None:
        for means, x in (
            (self.read, chunk.read),
            (self.clamped, chunk.pres[0].clamp_min(0)),
            (self.post, chunk.post),
            *zip(self.pres, chunk.pres, strict=True),
        ):
            means.add(x.reshape(n_first, -1, x.shape[-1]))
        self.moments.add(*chunk.pres, chunk.post)
        self.n += len(chunk.post)
        self.scale += 0.0 if chunk.scale is None else float(chunk.scale.double().sum())
        self.out_scale += 0.0 if chunk.out_scale is None else float(chunk.out_scale.double().sum())

    def slopes(self) -> Float[Tensor, "pre neuron"]:
        """Least squares of post on the pre-activations, with a constant; the least slopes where several fit."""
        n = len(self.pres)
        # pinv: a constant pre-activation, or a gate in step with its up-projection, leaves nothing to invert
        gram = torch.stack([torch.stack([self.moments.covariance(i, j) for j in range(n)], -1) for i in range(n)], -2)
        right = torch.stack([self.moments.covariance(i, n) for i in range(n)], -1)
        slopes: Tensor = torch.linalg.pinv(gram, rtol=CONSTANT, hermitian=True) @ right[..., None]
        return slopes[..., 0].T


def product_excess(stack: Stack) -> Excess:
    """The excess of every known name over the complete product of the first and last parts of its stratum.

    NotApplicable for a single part on a side of a stratum, or a single class.
    """
    found = [(members, _of_stratum(part)) for members, part in stack.by_stratum()]
    order = np.argsort(np.concatenate([members for members, _ in found]))
    excesses = [excess for _, excess in found]
    layers = zip(*(excess.layers for excess in excesses), strict=True)
    return Excess(
        layers=tuple({name: np.concatenate([t[name] for t in terms])[order] for name in terms[0]} for terms in layers),
        score_sd=np.concatenate([excess.score_sd for excess in excesses])[order],
    )


@torch.no_grad()
def _of_stratum(stack: Stack) -> Excess:
    """The excess of every known name over the complete product of the stack's first and last parts.

    One pass in chunks of rows; what is kept is means by row and by column and the values at the known names.
    e is linear, so e(pre⁰) comes from e of what the layer reads: the frozen norm and the weights are linear. Terms are
    in logits. Raises NotApplicable for a single name on a side or a single class.
    """
    entities = stack.entities
    readout = next(iter(stack.readouts.values()))
    firsts, row = np.unique(entities.first, return_inverse=True)
    lasts, column = np.unique(entities.last, return_inverse=True)
    if min(len(firsts), len(lasts)) < 2:
        raise NotApplicable(
            f"the known names have {len(firsts)} first and {len(lasts)} last parts: no other to compare"
        )
    n_cls = readout.weight.shape[1]
    if n_cls < 2:
        raise NotApplicable("the relation has a single class, so no score of the others exists")
    # correct minus mean other, as one direction of the residual stream for each class
    margin = (readout.weight * n_cls - readout.weight.sum(1, keepdim=True)) / (n_cls - 1)
    known, output = _run(stack, stack.inputs(entities.first, entities.last))
    layers = [_Layer(read) for read in known]
    scores = _Moments((output @ margin).mean(0))
    for chunk in _chunks(stack, firsts, lasts):
        reads, output = _run(stack, stack.inputs(np.repeat(chunk, len(lasts)), np.tile(lasts, len(chunk))))
        for layer, read in zip(layers, reads, strict=True):
            layer.add(read, len(chunk))
        scores.add(output @ margin)
    cls = torch.as_tensor(entities.cls[readout.relation], device=margin.device)
    place = (torch.as_tensor(row, device=margin.device), torch.as_tensor(column, device=margin.device))
    return Excess(
        layers=tuple(
            _terms(layer, sums, margin.double()[:, cls], *place)
            for layer, sums in zip(stack.layers, layers, strict=True)
        ),
        score_sd=scores.covariance(0, 0).sqrt()[cls].cpu().numpy(),
    )


def _chunks(stack: Stack, firsts: np.ndarray, lasts: np.ndarray) -> Iterator[np.ndarray]:
    widest = max(layer.mlp.w_out.shape[0] for layer in stack.layers)
    size = max(1, CHUNK // (widest * len(lasts)))
    return (firsts[start : start + size] for start in range(0, len(firsts), size))


def _terms(
    layer: StackLayer, sums: _Layer, margin: Float[Tensor, "d_model fact"], row: Tensor, column: Tensor
) -> Terms:
    mlp, known = layer.mlp, sums.known
    w_out = mlp.w_out.double()
    if layer.out_norm is not None:  # frozen too, so that what a neuron adds is one vector times its activation
        w_out = layer.out_norm.linear(w_out, sums.out_scale / sums.n)
    effect = (w_out @ margin).T
    post = sums.post.corners(known.post, row, column)
    pres = [m.corners(x, row, column).excess for m, x in zip(sums.pres, known.pres, strict=True)]
    clamped = sums.clamped.corners(known.pres[0].clamp_min(0), row, column).excess
    read = sums.read.corners(known.read, row, column).excess
    # e of a constant is 0, so no bias enters: neither the norm's nor those of the weights
    frozen = read if layer.norm is None else layer.norm.linear(read, sums.scale / sums.n)
    weights = (mlp.w_in,) if mlp.w_gate is None else (mlp.w_gate, mlp.w_in)
    slopes = sums.slopes()
    explained = _combined(slopes, pres)
    inherited = _combined(slopes, [frozen @ weight.double() for weight in weights])
    excess = post.excess
    rising = excess > 0
    terms = {
        "total": excess,
        "inherited": inherited,
        "norm": explained - inherited,
        "activation": excess - explained,
        "total_rising": excess * rising,
        "clamped_rising": clamped * rising,
        "clamped_all": clamped,
        "raw_rising": pres[0] * rising,
        "raw_all": pres[0],
    }
    weighted = {name: (effect * x).sum(-1) for name, x in terms.items()}
    # a neuron that neither rises nor counts for the answer would still have a kind, so each weighs |w·r|
    rise = post.both - post.neither
    kappa = _kappa(post)
    for name, members in (("and", kappa > GATE), ("or", kappa < -GATE), ("linear", kappa.abs() <= GATE)):
        weighted[name] = ((effect * rise).abs() * members).sum(-1)
    return {name: x.cpu().numpy() for name, x in weighted.items()}


def _combined(slopes: Float[Tensor, "pre neuron"], pres: Sequence[Float[Tensor, "fact neuron"]]) -> Tensor:
    return torch.stack([slope * pre for slope, pre in zip(slopes, pres, strict=True)]).sum(0)


def _kappa(post: Corners) -> Float[Tensor, "fact neuron"]:
    """sign(r)·(r − a − b) / max(|r|, |a|, |b|); 0 where the neuron does not respond."""
    r, a, b = (x - post.neither for x in (post.both, post.first, post.last))
    largest = torch.maximum(r.abs(), torch.maximum(a.abs(), b.abs()))
    return torch.where(largest > 0, r.sign() * (r - a - b) / largest.clamp_min(torch.finfo(r.dtype).tiny), 0.0)

"""Fitting weights to a target: ridge towards given weights in closed form, and constrained gradient steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rote.lineup.target import AIM, Target
from rote.stack import StackLayer, StackRun

PENALTIES = tuple(10.0**k for k in range(1, -9, -1))  # times the mean eigenvalue; from strong to weak
LEARNING_RATE = 3e-3
CHECK_EVERY = 20  # steps between two looks at whether a control is matched
WEIGHTS = ("w_in", "b_in", "w_gate", "b_gate", "w_out", "b_out")

Layers = tuple[StackLayer, ...]
Loss = Callable[[StackRun], Tensor]


class Ridge:
    """W = W₀ + (ΦᵀΦ + λ)⁻¹Φᵀ(Y − ΦW₀) with a free intercept, for any λ after one eigendecomposition.

    Solved in the space of entities where those are fewer than features. Float64.
    """

    def __init__(
        self,
        features: Float[Tensor, "entity neuron"],
        wanted: Float[Tensor, "entity out"],
        towards: Float[Tensor, "neuron out"],
    ) -> None:
        self._mean, self._towards = features.double().mean(0), towards.double()
        self._wanted_mean = wanted.double().mean(0)
        centred = features.double() - self._mean
        rest = wanted.double() - self._wanted_mean - centred @ self._towards
        n, k = centred.shape
        # (ΦᵀΦ + λ)⁻¹Φᵀ = Φᵀ(ΦΦᵀ + λ)⁻¹: the smaller one is taken apart; it has the same eigenvalues but for zeros
        gram = centred @ centred.T if n < k else centred.T @ centred
        self._values, self._vectors = torch.linalg.eigh(gram)
        self._values = self._values.clamp_min(0)
        self._scale = max(float(self._values.mean()), 1e-300)  # where no feature varies: no fit, not 0/0
        self._left = self._vectors if n >= k else centred.T @ self._vectors
        self._right = self._vectors.T @ (centred.T @ rest if n >= k else rest)

    def weights(self, penalty: float) -> tuple[Float[Tensor, "neuron out"], Float[Tensor, " out"]]:
        """(W, intercept) for λ = penalty × mean eigenvalue."""
        change = self._left @ (self._right / (self._values + penalty * self._scale)[:, None])
        weights = self._towards + change
        return weights, self._wanted_mean - self._mean @ weights


def fit_outputs(
    target: Target,
    layers: Layers,
    fitted: Sequence[int],
    wanted: Float[Tensor, "entity d_model"],
    *,
    basis: Float[Tensor, "d_model basis"] | None = None,
) -> Layers:
    """The layers with output weights, ridge towards those they have, such that the fitted ones add up to `wanted`.

    Features are the neurons' activations as `layers` run on the target's names. λ is the strongest penalty with which
    the stack is matched to the target, else the one that comes nearest. With a `basis`, all fitted layers but the
    last write into its span only.
    """
    # no fitted layer reads what another of them writes (blind to it, or fitted alone), so activations stay as they are
    # while output weights change
    run = target.stack.with_layers(layers, "fit").run(target.x, target.stratum)
    posts = [layers[i].post(run.mlp_in[i]) for i in fitted]
    old = [layers[i].mlp.w_out for i in fitted]
    rest = run.output - sum((run.mlp_out[i] for i in fitted), torch.zeros_like(run.output))
    ends = [0, *accumulate(p.shape[1] for p in posts)]
    rows = [slice(a, b) for a, b in pairwise(ends)]
    if basis is None:
        ridges = [(Ridge(torch.cat(posts, 1), wanted, torch.cat(old)), slice(0, ends[-1]))]
    else:
        # ridge treats every direction of the output by itself, so what lies within the basis and what lies outside are
        # two regressions whose solutions add up: all layers share the one, the last alone has the other
        inside = basis @ basis.T
        outside = torch.eye(len(basis), dtype=basis.dtype, device=basis.device) - inside
        ridges = [
            (Ridge(torch.cat(posts, 1), wanted @ inside, torch.cat(old) @ inside), slice(0, ends[-1])),
            (Ridge(posts[-1], wanted @ outside, old[-1] @ outside), rows[-1]),
        ]
    features, best = torch.cat(posts, 1).double(), None
    for penalty in PENALTIES:
        weights = torch.zeros(ends[-1], wanted.shape[1], dtype=torch.float64, device=wanted.device)
        shift = torch.zeros_like(weights[0])
        for ridge, part in ridges:
            w, b = ridge.weights(penalty)
            weights[part] += w
            shift = shift + b
        fit = target.fit((rest.double() + features @ weights + shift).to(rest.dtype))
        if best is None or fit.distance < best[0]:
            best = fit.distance, weights.to(rest.dtype), shift.to(rest.dtype)
        if fit.within(AIM):
            break
    assert best is not None
    changed = list(layers)
    for i, part in zip(fitted, rows, strict=True):
        shift = best[2] if i == fitted[-1] else torch.zeros_like(best[2])  # a constant; the last writes anywhere
        changed[i] = with_weights(layers[i], w_out=best[1][part], b_out=shift)
    return tuple(changed)


def refine(
    target: Target,
    layers: Layers,
    *,
    steps: int,
    trained: Callable[[int, str], bool] = lambda layer, weight: True,
    wired: Callable[[Layers], Layers] = lambda layers: layers,
    loss: Loss | None = None,
    enough: Callable[[StackRun], bool] | None = None,
) -> Layers:
    """At most `steps` of Adam on the chosen weights, under a wiring that keeps the mechanism; full batch.

    `trained(i, name)` says which weights move; `wired` projects layers back onto the mechanism, in every step;
    `enough` is asked before the first step and every CHECK_EVERY steps (default: matched to half the tolerances).
    """
    loss = loss or (lambda run: target.loss(run.output))
    enough = enough or (lambda run: target.fit(run.output).within(AIM))
    parts: list[dict[str, Tensor]] = [
        {
            name: weight.clone().requires_grad_()
            for name in WEIGHTS
            if (weight := getattr(layer.mlp, name)) is not None and trained(i, name)
        }
        for i, layer in enumerate(layers)
    ]

    def now() -> Layers:
        # within the forward pass, as for the result: the loss and its gradient are those of layers under the wiring
        return wired(tuple(with_weights(layer, **part) for layer, part in zip(layers, parts, strict=True)))

    def run(current: Layers) -> StackRun:
        return target.stack.with_layers(current, "fit").run(target.x, target.stratum)

    optimiser = torch.optim.Adam([w for part in parts for w in part.values()], lr=LEARNING_RATE)
    for step in range(steps):
        if step % CHECK_EVERY == 0:
            with torch.no_grad():
                if enough(run(now())):
                    break
        optimiser.zero_grad()
        torch.autograd.backward(loss(run(now())))
        optimiser.step()
    with torch.no_grad():
        return tuple(with_weights(layer, **{n: _still(getattr(layer.mlp, n)) for n in WEIGHTS}) for layer in now())


def scaled_to_rms(target: Target, layers: Layers) -> Layers:
    """All outputs multiplied by the one factor with which the RMS is the target's (by bisection, 1/1000 to 1000)."""

    def scaled(factor: float) -> Layers:
        return tuple(
            with_weights(
                layer,
                w_out=factor * layer.mlp.w_out,
                b_out=None if layer.mlp.b_out is None else factor * layer.mlp.b_out,
            )
            for layer in layers
        )

    # searched for, since the RMS need not be in proportion to it: later layers read the scaled outputs
    low, high = 1e-3, 1e3
    for _ in range(40):
        middle = (low * high) ** 0.5
        output = target.stack.with_layers(scaled(middle), "fit").run(target.x, target.stratum).output
        low, high = (middle, high) if target.fit(output).rms_ratio < 1 else (low, middle)
    return scaled((low * high) ** 0.5)


def _still(weight: Tensor | None) -> Tensor | None:
    return None if weight is None else weight.detach()


def with_weights(layer: StackLayer, **weights: Any) -> StackLayer:
    """The layer with some of its MLP's weights replaced."""
    return replace(layer, mlp=replace(layer.mlp, **weights))

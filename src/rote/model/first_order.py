"""Slopes: how a function of the logits changes with activations, to first order, for all of them in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.errors import InputError
from rote.model.hooks import gather
from rote.model.model import Model
from rote.model.precision import wide
from rote.model.recording import Recording
from rote.model.sites import Site

# logits at `end` -> one number per row
Objective = Callable[[Float[Tensor, "row vocab"]], Float[Tensor, " row"]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Slope:
    """A site's activation at one position per row, and the objective's derivative there, per unit of activation."""

    value: Float[Tensor, "row ..."]
    slope: Float[Tensor, "row ..."]

    def effect(self, replacement: Float[Tensor, "#row ..."]) -> Float[Tensor, "row ..."]:
        """slope × (replacement − value), elementwise: its sum is the objective's change to first order, in its unit."""
        return self.slope * (replacement - self.value)


def slopes(
    model: Model,
    recording: Recording,
    sites: Sequence[Site],
    objective: Objective,
    *,
    position: Int[Tensor, " row"],
    end: Int[Tensor, " row"],
) -> dict[Site, Slope]:
    """∂ objective(logits at `end`) / ∂ site at `position`, for every row and site, from one pass and its gradient.

    Attribution patching: slope × (replacement − value) stands for the effect of replacing an activation, exactly in
    the limit of small changes. No parameter gets a gradient, and no `requires_grad` changes. InputError for
    `resid_mid`, where the stream goes on beside the MLP that reads it: `mlp_in` is what the MLP reads; and for sites
    outside the blocks. NonFinite as in `Model.run`.
    """
    layers = [site.layer for site in sites if site.layer is not None]
    if len(layers) != len(sites) or not layers:
        raise InputError("slopes are taken at sites within blocks, at least one")
    if any(site.name == "resid_mid" for site in sites):
        raise InputError(
            "slopes are not taken at resid_mid; mlp_in is what the MLP reads, resid_post what leaves the block"
        )
    start, first = min(layers), int(position.min())
    # a leaf before the first of the blocks puts all that follows into the graph, and no parameter needs a gradient
    x = recording.resid(start, None, first).detach().clone().requires_grad_()
    logits = Site("logits").at(end)
    # sites are read whole: what has been gathered is a copy beside the way to the logits, and would have no slope
    acts = model.replay(recording, start, first=first, resid=x, read=[*sites, logits], keep_graph=True)
    with torch.enable_grad():  # rows do not see each other, so the gradient of the sum holds each row's own
        gradients = torch.autograd.grad(objective(acts.logits).sum(), [acts[site] for site in sites])
    return {
        site: Slope(
            value=wide(gather(site, acts[site].detach(), position - first)).to(model.device),
            slope=wide(gather(site, gradient, position - first)).to(model.device),
        )
        for site, gradient in zip(sites, gradients, strict=True)
    }

"""A stack with single neurons changed: only the layers after the change run again."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.stack import Stack, StackRun


def posts(stack: Stack, run: StackRun) -> list[Float[Tensor, "name neuron"]]:
    """What each layer's neurons put out, for the residual streams that the layers read."""
    return [layer.post(x) for layer, x in zip(stack.layers, run.mlp_in, strict=True)]


def output_with(
    stack: Stack,
    run: StackRun,
    post: Float[Tensor, "name neuron"],
    *,
    layer: int,
    name: Int[Tensor, " row"],
    neuron: Int[Tensor, " row"],
    value: Float[Tensor, " row"],
) -> Float[Tensor, "row d_model"]:
    """The residual stream at the stack's end, per row for one name with one neuron's activation replaced by `value`.

    The layer's output changes by (value − post)·w_out, before the norm that follows it where there is one; all later
    layers run again. `layer` counts the stack's layers from 0, `post` is what that layer's neurons put out.
    """
    at = stack.layers[layer]
    change = (value - post[name, neuron])[:, None] * at.mlp.w_out[neuron]
    if at.out_norm is None:
        out = run.mlp_out[layer][name] + change
    else:
        # a norm is not linear, so the whole output passes it again; run.mlp_out has passed it already
        raw = post @ at.mlp.w_out if at.mlp.b_out is None else post @ at.mlp.w_out + at.mlp.b_out
        out = at.out_norm(raw[name] + change)
    strata = None if run.stratum is None else run.stratum[name.cpu().numpy()]
    x = run.resid[layer][name] + at.attends(strata) + out
    later = stack.with_layers(stack.layers[layer + 1 :], stack.name)
    return later.run(x, strata).output


def ablated(
    stack: Stack, run: StackRun, post: Float[Tensor, "name neuron"], *, layer: int, neuron: int, value: float
) -> Float[Tensor, "name d_model"]:
    """The same for every name with one and the same neuron (of `layer`, counted in the stack) and value."""
    n = len(post)
    return output_with(
        stack,
        run,
        post,
        layer=layer,
        name=torch.arange(n, device=post.device),
        neuron=torch.full((n,), neuron, device=post.device),
        value=post.new_full((n,), value),
    )

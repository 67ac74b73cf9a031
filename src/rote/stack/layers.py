"""One MLP layer of a stack, and the permutation of its weights that the study uses as its null."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.model import MLPWeights, NormWeights

MATRICES = ("w_in", "b_in", "w_gate", "b_gate", "w_out", "b_out")


@dataclass(frozen=True, kw_only=True, eq=False)
class StackLayer:
    """One block reduced to its MLP, with attention's output frozen at its mean.

    `number` is the layer's number in the model, counted from 0; `attention` is what attention adds on average (zero for
    the first layer of a sequential stack, whose input already holds it), for each stratum where there are several.
    """

    number: int
    attention: Float[Tensor, "*stratum d_model"]
    norm: NormWeights | None
    mlp: MLPWeights
    out_norm: NormWeights | None
    parallel: bool

    def attends(self, stratum: Int[np.ndarray, " name"] | None) -> Float[Tensor, "*name d_model"]:
        """What attention adds for names of these strata; None: all are of the only one."""
        if stratum is None or self.attention.dim() == 1:
            return self.attention
        return self.attention[torch.as_tensor(stratum, device=self.attention.device)]

    def pre(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... neuron"]:
        """Pre-activations for the residual stream x as the MLP reads it."""
        return self.mlp.pre(x if self.norm is None else self.norm(x))

    def post(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... neuron"]:
        return self.mlp.post(x if self.norm is None else self.norm(x))

    def mlp_out(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """What the MLP adds to the residual stream, for the residual stream x as it reads it."""
        out = self.mlp(x if self.norm is None else self.norm(x))
        return out if self.out_norm is None else self.out_norm(out)


def permuted(layer: StackLayer, generator: np.random.Generator) -> StackLayer:
    """Each weight matrix and bias of the MLP permuted entrywise, on its own device; norms and attention stay.

    A GPU draws another permutation than a processor does.

    Source: Fact Finding, post 3, the shuffled-weights baseline.
    """
    seed = int(generator.integers(2**63))
    on_device = torch.Generator(device=layer.mlp.w_out.device).manual_seed(seed)  # millions of entries: not on the host

    def shuffle(x: Tensor | None) -> Tensor | None:
        if x is None:
            return None
        order = torch.randperm(x.numel(), generator=on_device, device=x.device)
        return x.flatten()[order].reshape(x.shape)

    mlp = layer.mlp
    changes: dict[str, Any] = {name: shuffle(getattr(mlp, name)) for name in MATRICES}
    return replace(layer, mlp=replace(mlp, **changes))


def matched(layer: StackLayer, read: Float[Tensor, "name d_model"], wanted: Float[Tensor, "name neuron"]) -> StackLayer:
    """The layer with every neuron's pre-activation on `read` scaled and shifted to the mean and SD of `wanted`.

    Column n of the input weights is scaled by SD(wanted)/SD(now), and the bias makes the means agree.
    """
    # without its bias the pre-activation is linear in the weights, so scaling a column scales it, and the bias does the
    # rest; of a gated MLP it is the gate's, which decides how often a neuron is active
    mlp, pre = layer.mlp, layer.pre(read)
    gain = wanted.std(0) / pre.std(0).clamp_min(1e-12)
    gated = mlp.w_gate is not None
    weight, bias = (mlp.w_gate, mlp.b_gate) if gated else (mlp.w_in, mlp.b_in)
    assert weight is not None
    old = torch.zeros_like(gain) if bias is None else bias
    shift = wanted.mean(0) - (pre - old).mean(0) * gain
    change: dict[str, Any] = (
        {"w_gate": weight * gain, "b_gate": shift} if gated else {"w_in": weight * gain, "b_in": shift}
    )
    return replace(layer, mlp=replace(mlp, **change))

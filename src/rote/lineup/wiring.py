"""Layers that read the tokens alone although they stand one after another."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rote.lineup.fit import Layers, with_weights
from rote.lineup.target import Target
from rote.model import NormWeights
from rote.stack import StackLayer, matched, permuted


@dataclass(frozen=True, kw_only=True, eq=False)
class BlindNorm(NormWeights):
    """A norm that does not see a subspace: norm(x − BBᵀx) with orthonormal B [d_model, basis].

    Input weights behind it are orthogonal to everything in B's span, and so is the norm's scale: through that alone a
    later layer would still read how much the earlier ones write. With `scaled` False the scale is 1 (a layer without a
    norm).
    """

    basis: Float[Tensor, "d_model basis"]
    scaled: bool = True

    def centred(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        # before the mean is taken, which would be of what is hidden too
        basis = self.basis.to(x.dtype)
        seen = x - (x @ basis) @ basis.T
        return super().centred(seen) if self.scaled else seen

    def scale(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "..."]:
        return super().scale(x) if self.scaled else torch.ones_like(x[..., 0])


def blind(norm: NormWeights | None, basis: Float[Tensor, "d_model basis"]) -> BlindNorm:
    """The same norm (or none) that does not see the span of an orthonormal basis."""
    if norm is None:
        return BlindNorm(kind="rms", weight=torch.ones_like(basis[:, 0]), bias=None, eps=0.0, basis=basis, scaled=False)
    return BlindNorm(kind=norm.kind, weight=norm.weight, bias=norm.bias, eps=norm.eps, basis=basis)


def token_layers(target: Target, generator: np.random.Generator) -> Layers:
    """Permuted weights, every layer blind to where the ones before it write; pre-activations as the model's.

    All layers but the last write into the target's basis only, and all but the first do not see it: so every layer
    reads the tokens alone, exactly, whatever the earlier ones add.
    """
    stack, layers, seen = target.stack, [], target.x
    for i, layer in enumerate(stack.layers):
        own = permuted(layer, generator)
        # a norm behind the MLP would lead out of the basis, and the output would not be linear in its weights
        own = replace(own, out_norm=None, norm=blind(layer.norm, target.basis) if i else layer.norm)
        attention = layer.attends(target.stratum)
        read = seen if layer.parallel else seen + attention
        own = matched(own, read, layer.pre(target.run.mlp_in[i]))
        layers.append(confined(own, target) if i < len(stack.layers) - 1 else own)
        seen = seen + attention  # without what the MLP adds, to which all later layers are blind
    return tuple(layers)


def confined(layer: StackLayer, target: Target) -> StackLayer:
    """The layer writing into the target's basis only."""
    project = target.basis @ target.basis.T
    mlp = layer.mlp
    return with_weights(layer, w_out=mlp.w_out @ project, b_out=None if mlp.b_out is None else mlp.b_out @ project)


def all_confined(layers: Layers, target: Target) -> Layers:
    """All layers but the last confined: the wiring that gradient steps keep."""
    return (*(confined(layer, target) for layer in layers[:-1]), layers[-1])

"""Weights as linear algebra: views of the user's parameters; float32 copies of narrower ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from rote.errors import ModelRefused, NotApplicable
from rote.model.families import Family
from rote.model.precision import wide


@dataclass(frozen=True, kw_only=True, eq=False)
class NormWeights:
    """norm(x) = centred(x) / scale(x) · weight + bias, with scale = sqrt(mean(centred(x)²) + eps).

    `centred` subtracts the mean over d_model for a LayerNorm and is the identity for an RMSNorm.
    """

    kind: Literal["layer", "rms"]
    weight: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"] | None
    eps: float

    def centred(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        return x - x.mean(-1, keepdim=True) if self.kind == "layer" else x

    def scale(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "..."]:
        """What the norm divides x by: the root of its mean square about its mean (or 0), eps included."""
        return (self.centred(x).pow(2).mean(-1) + self.eps).sqrt()

    def linear(
        self, x: Float[Tensor, "... d_model"], scale: Float[Tensor, "..."] | float
    ) -> Float[Tensor, "... d_model"]:
        """The norm with its scale frozen and its bias left out: a linear map of x.

        So parts of a stream can pass it one by one, and what comes out adds up.
        """
        frozen = scale[..., None] if isinstance(scale, Tensor) else scale
        return self.centred(x) / frozen * self.weight

    def __call__(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        normed = self.linear(x, self.scale(x))
        return normed if self.bias is None else normed + self.bias


@dataclass(frozen=True, kw_only=True, eq=False)
class MLPWeights:
    """mlp(x) = (act(x·w_gate + b_gate) ⊙ (x·w_in + b_in))·w_out + b_out, or act(x·w_in + b_in)·w_out + b_out."""

    w_in: Float[Tensor, "d_model neuron"]
    b_in: Float[Tensor, " neuron"] | None
    w_gate: Float[Tensor, "d_model neuron"] | None
    b_gate: Float[Tensor, " neuron"] | None
    activation: Callable[[Tensor], Tensor]
    w_out: Float[Tensor, "neuron d_model"]
    b_out: Float[Tensor, " d_model"] | None

    def pre(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... neuron"]:
        """The pre-activation: of the gate where there is one."""
        if self.w_gate is not None:
            return _affine(x, self.w_gate, self.b_gate)
        return _affine(x, self.w_in, self.b_in)

    def post(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... neuron"]:
        active = self.activation(self.pre(x))
        return active if self.w_gate is None else active * _affine(x, self.w_in, self.b_in)

    def __call__(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        return _affine(self.post(x), self.w_out, self.b_out)


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadWeights:
    """A head's OV circuit: x ↦ (x·w_v + b_v)·w_o for the normed x at the key position.

    `clip` bounds the values on both sides where the family does so (OLMo); OV as one linear map leaves it out.
    """

    w_v: Float[Tensor, "d_model d_head"]
    b_v: Float[Tensor, " d_head"] | None
    w_o: Float[Tensor, "d_head d_model"]
    clip: float | None = None

    def values(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_head"]:
        v = _affine(x, self.w_v, self.b_v)
        return v if self.clip is None else v.clamp(-self.clip, self.clip)


_Matrix = tuple[Tensor, Tensor | None]


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x @ weight if bias is None else x @ weight + bias


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightSource:
    """One block's modules as a family describes them, and what to do with their parameters.

    Parameters of other devices come as copies on `device`; `scale` is the factor with which attention and MLP are
    added to the residual stream.
    """

    block: nn.Module
    family: Family
    device: torch.device | None = None
    scale: float = 1.0

    def matrix(self, path: str, columns: slice = slice(None), rows: slice = slice(None)) -> _Matrix:
        """(in × out, bias) of an nn.Linear or of transformers' Conv1D, or a part of it; views where they can be.

        AttributeError where the family's description names a module that has no weight.
        """
        module = self.block.get_submodule(path)
        weight, bias = raw(module, "weight"), raw(module, "bias")
        if weight is None:
            raise AttributeError(f"{path} has no weight")
        part = (weight if type(module).__name__ == "Conv1D" else weight.T)[rows, columns]
        return self._here(part), None if bias is None else self._here(bias[columns])

    def scaled(self, path: str, rows: slice = slice(None)) -> _Matrix:
        """A matrix, or some rows of it, that writes into the residual stream."""
        weight, bias = self.matrix(path, rows=rows)
        if self.scale == 1.0:
            return weight, bias
        return weight * self.scale, None if bias is None else bias * self.scale

    def _here(self, x: Tensor) -> Tensor:
        return wide(x if self.device is None else x.to(self.device))


def raw(module: nn.Module, name: str) -> Tensor | None:
    """A parameter as it is, without its gradient; None where the module has none of this name.

    accelerate keeps the parameters of offloaded modules in a map beside their hook. ModelRefused where the weights are
    nowhere (on the meta device).
    """
    value = getattr(module, name, None)
    if not isinstance(value, Tensor):
        return None
    if value.is_meta:
        kept = getattr(getattr(module, "_hf_hook", None), "weights_map", None)
        if kept is None:
            raise ModelRefused(f"the weights of {type(module).__name__} are on the meta device, so there are none")
        value = kept[name]
    return value.detach()


def norm_weights(module: nn.Module, family: Family, d_model: int, device: torch.device | None = None) -> NormWeights:
    """A norm as linear algebra; a norm without weights (OLMo) has ones. ModelRefused where it shows no epsilon."""
    weight, bias = (None if x is None else wide(x.to(device)) for x in (raw(module, "weight"), raw(module, "bias")))
    if weight is None:
        weight = torch.ones(d_model, device=device)
    eps = next((getattr(module, name) for name in ("eps", "variance_epsilon") if hasattr(module, name)), None)
    eps = family.norm_eps if eps is None else eps
    if eps is None:
        raise ModelRefused(f"norm {type(module).__name__} shows no epsilon; rote cannot write it as linear algebra")
    kind = family.norm
    if kind == "by class":
        kind = "layer" if isinstance(module, nn.LayerNorm) else "rms"
    offset = family.norm_offset
    return NormWeights(kind=kind, weight=weight + offset if offset else weight, bias=bias, eps=float(eps))


def mlp_weights(source: WeightSource) -> MLPWeights:
    """A block's MLP as linear algebra; NotApplicable where it has no single neurons (mixtures of experts)."""
    family = source.family
    if family.experts or family.mlp_in is None or family.mlp_out is None:
        raise NotApplicable(f"family {family.model_type} has no single neurons: {family.experts}")
    try:
        w_in, b_in = source.matrix(family.mlp_in)
        w_out, b_out = source.scaled(family.mlp_out)
        w_gate, b_gate = source.matrix(family.mlp_gate) if family.mlp_gate else (None, None)
        activation = _without_gradient(attrgetter(family.activation)(source.block))
    except AttributeError as error:
        raise NotApplicable(f"this block has no dense MLP with single neurons ({error})") from error
    if family.fused_gate:
        (w_gate, w_in), (b_gate, b_in) = w_in.chunk(2, dim=1), (None, None) if b_in is None else b_in.chunk(2)
    return MLPWeights(
        w_in=w_in, b_in=b_in, w_gate=w_gate, b_gate=b_gate, activation=activation, w_out=w_out, b_out=b_out
    )


def _without_gradient(activation: Any) -> Callable[[Tensor], Tensor]:
    """The activation itself, or, where it has parameters of its own (Apertus), a function of them as they are."""
    if not isinstance(activation, nn.Module) or not any(True for _ in activation.parameters()):
        result: Callable[[Tensor], Tensor] = activation
        return result
    own = {name: value.detach() for name, value in activation.named_parameters()}
    return lambda x: functional_call(activation, own, (x,))


def head_weights(
    source: WeightSource, head: int, n_heads: int, n_kv: int, d_head: int, clip: float | None
) -> HeadWeights:
    """W_V and W_O of one query head; with grouped queries several heads share their W_V."""
    family = source.family
    if family.fused == "interleaved":  # GPT-NeoX: per head its query, key and value
        start = (3 * head + 2) * d_head
    else:
        start = head // (n_heads // n_kv) * d_head
        if family.fused == "concatenated":  # GPT-2: all queries, all keys, all values
            start += (n_heads + n_kv) * d_head
    w_v, b_v = source.matrix(family.value, columns=slice(start, start + d_head))
    w_o, _ = source.scaled(family.attention_out, rows=slice(head * d_head, (head + 1) * d_head))
    return HeadWeights(w_v=w_v, b_v=b_v, w_o=w_o, clip=clip)
